//! Sends requests, and limits their addresses, their duration and the part of the answer that is kept.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use reqwest::{Client, Response, redirect};
use secrecy::{ExposeSecret, SecretString};

use super::{
    TIMEOUT,
    guard::{Guard, Inside},
};
use crate::domain::{inside::Reachable, keyring::Keyring};

/// Upper bound of bytes that are kept of an answer's body.
const KEPT: usize = 1024;
/// Upper bound of the pause in `Retry-After`.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Creates a client that connects only to addresses that the guard allows, follows no redirects, and ignores
/// proxies in its environment.
pub(super) fn guarded(guard: Guard) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .dns_resolver(guard)
        .connect_timeout(TIMEOUT / 2)
        .timeout(TIMEOUT)
        // Connections are not reused: each one is checked for the request that it is opened for.
        .pool_max_idle_per_host(0)
        .build()
}

/// Request that is ready to be sent.
pub(super) struct Request {
    pub(super) url: url::Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Answer, as far as it is kept.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: String,
}

/// Sends a request. The error is half a sentence for the webhook endpoint's owner, and reveals nothing about
/// our network.
pub(super) async fn send(
    http: &Client,
    reachable: &Reachable,
    request: Request,
    now: Timestamp,
) -> Result<Answer, String> {
    // A host that is an IP address is never resolved, so the guard does not check it.
    if reachable.literal(&request.url) == Some(false) {
        return Err(Inside.to_string());
    }
    let sent = http
        .post(request.url)
        .headers(request.headers)
        .body(request.body)
        .send()
        .await;
    let response = sent.map_err(|error| words(&error))?;
    Ok(Answer {
        status: response.status(),
        retry_after: retry_after(response.headers(), now),
        body: first_bytes(response).await,
    })
}

fn words(error: &reqwest::Error) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.is::<Inside>() {
            return Inside.to_string();
        }
        next = cause.source();
    }
    if error.is_timeout() {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else if error.is_connect() {
        "it cannot be connected to".to_owned()
    } else {
        "the connection broke before there was an answer".to_owned()
    }
}

/// Returns the beginning of an answer's body, as far as it was received: the status counts even if the rest
/// fails.
async fn first_bytes(mut response: Response) -> String {
    let mut kept = Vec::new();
    while kept.len() < KEPT {
        match response.chunk().await {
            Ok(Some(chunk)) => kept.extend_from_slice(&chunk[..chunk.len().min(KEPT - kept.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&kept)
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

/// Parses `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST))
}

/// Opens a sealed secret, if there is a key for it.
pub(super) fn open(keyring: Option<&Keyring>, context: &[u8], sealed: &[u8]) -> Result<SecretString, String> {
    keyring
        .and_then(|keyring| keyring.open(context, sealed))
        .filter(|secret| !secret.expose_secret().is_empty())
        .ok_or_else(|| {
            "its secret cannot be opened: the service lacks the key that it was sealed with".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date_and_bounded() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Tue, 24 Nov 2026 12:05:00 GMT"), Some(300));
        assert_eq!(asked("Tue, 24 Nov 2026 11:05:00 GMT"), Some(0));
        assert_eq!(asked("99999999"), Some(86_400));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
