//! Names for requests: the client's own where it is harmless, else one of ours.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// Carries the request's id, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The name of one request, in the answer and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(String);

impl RequestId {
    /// The id that the client sent, if it is fit for logs; otherwise a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match sent {
            Some(id) if harmless(id) => Self(id.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }

    /// The id itself.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as a header's value.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id has only letters, digits and a few marks")
    }
}

fn harmless(id: &str) -> bool {
    let mark = |b: u8| matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || mark(b))
}

/// The trace that a `traceparent` header (W3C Trace Context) says the request is part of.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |text: &str| text.bytes().any(|b| b != b'0');
    let well_formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    // Version 00 has no more parts; later ones may. ff is none.
    let complete = version != "ff" && (version != "00" || parts.next().is_none());
    (well_formed && complete && some(trace) && some(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).expect("a header can have this value"),
        )])
    }

    #[test]
    fn a_harmless_id_is_kept_and_others_are_replaced() {
        let long = "x".repeat(129);
        assert_eq!(
            RequestId::of(&headers("x-request-id", "a1:b/2")).as_str(),
            "a1:b/2"
        );
        for bad in ["", "a b", "a\"b", "{}", "ümlaut", long.as_str()] {
            assert_ne!(RequestId::of(&headers("x-request-id", bad)).as_str(), bad);
        }
    }

    #[test]
    fn only_a_well_formed_traceparent_names_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let of = |value: &str| trace_id(&headers("traceparent", value)).map(str::to_owned);
        assert_eq!(
            of(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(),
            Some(trace)
        );
        assert_eq!(
            of(&format!("01-{trace}-00f067aa0ba902b7-01-more")).as_deref(),
            Some(trace)
        );
        for bad in [
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            trace.to_owned(),
        ] {
            assert_eq!(of(&bad), None, "{bad}");
        }
    }
}
