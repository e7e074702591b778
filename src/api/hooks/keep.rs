//! Which headers of a delivery are kept: those that tell something of it, and none that proves anything.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::delivery::KeptHeaders;

/// The longest value that is kept, in bytes.
const LONGEST: usize = 1024;

/// Kept by their names.
const NAMES: [&str; 11] = [
    "content-type",
    "content-length",
    "user-agent",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "x-event-key",
    "x-request-id",
    "x-request-uuid",
    "x-hook-uuid",
    "x-attempt-number",
];

/// Kept by the beginnings of their names.
const PREFIXES: [&str; 5] = ["x-github-", "x-gitlab-", "x-gitea-", "x-forgejo-", "x-gogs-"];

/// What ends so is a proof, or a secret itself.
const PROOFS: [&str; 4] = ["-token", "-signature", "-signature-256", "-secret"];

/// The headers that are kept.
pub(super) fn kept(headers: &HeaderMap) -> KeptHeaders {
    let mut kept = KeptHeaders::new();
    for (name, value) in headers {
        let name = name.as_str();
        let known = NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if !known || PROOFS.iter().any(|proof| name.ends_with(proof)) || kept.len() >= 64 {
            continue;
        }
        if let Ok(text) = value.to_str()
            && text.len() <= LONGEST
        {
            kept.entry(name.to_owned()).or_insert_with(|| text.to_owned());
        }
    }
    kept
}

/// The headers of a delivery that was kept, as they arrived.
pub(in crate::api) fn restored(kept: &KeptHeaders) -> HeaderMap {
    kept.iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            Some((name, HeaderValue::try_from(value.as_str()).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_proves_anything_is_kept() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-api-key",
            "x-gitlab-token",
            "x-hub-signature",
            "x-hub-signature-256",
            "x-gitea-signature",
            "x-forgejo-signature",
            "x-gogs-signature",
            "webhook-signature",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("secret"));
        }
        headers.insert("x-github-event", HeaderValue::from_static("push"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let kept = kept(&headers);
        assert_eq!(
            kept.keys().collect::<Vec<_>>(),
            ["content-type", "x-github-event"],
            "{kept:?}"
        );
        assert_eq!(restored(&kept)["x-github-event"], "push");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut headers = HeaderMap::new();
        for n in 0..200 {
            let name = HeaderName::try_from(format!("x-github-{n}")).expect("a header's name");
            headers.insert(name, HeaderValue::from_static("x"));
        }
        headers.insert(
            "x-gitea-event",
            HeaderValue::try_from("x".repeat(LONGEST + 1)).expect("a header's value"),
        );
        let kept = kept(&headers);
        assert!(kept.len() <= 64 && !kept.contains_key("x-gitea-event"));
    }
}
