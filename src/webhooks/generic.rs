//! Parses signed JSON of any sender: `{"ref": "refs/heads/main", "commit": "…", "message": "…"}`.

use http::HeaderMap;
use serde::Deserialize;

use super::{Content, Delivery, Malformed, payload};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(rename = "ref")]
    reference: String,
    commit: String,
    message: Option<String>,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    let body: Body = payload::json(headers, body)?;
    Ok(Delivery {
        id: payload::id(headers, "idempotency-key"),
        event: "push".to_owned(),
        repository: None,
        content: Content::Changes(vec![payload::change(
            &body.reference,
            Some(&body.commit),
            body.message,
        )]),
    })
}
