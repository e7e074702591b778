//! Signs notifications as in Standard Webhooks 1.0.0, so that a webhook endpoint can verify that they are
//! ours.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use ring::hmac;

use crate::domain::endpoint::SigningSecret;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Returns the headers of a notification: its id, the time of the delivery attempt, and a signature for each
/// secret in use.
pub(super) fn headers(id: &str, now: Timestamp, body: &[u8], secrets: &[SigningSecret]) -> HeaderMap {
    let time = now.as_second().to_string();
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.key());
            format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
        })
        .collect();
    let text = |text: &str| HeaderValue::from_str(text).expect("it is plain ASCII");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ID, text(id)),
        (TIMESTAMP, text(&time)),
        (SIGNATURE, text(&signatures.join(" "))),
    ])
}
