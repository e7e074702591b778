//! A build's answer with its `ETag`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::body::BuildBody;

/// A build's JSON, named by what it says: two answers with the same `ETag` are the same byte by byte.
pub(super) struct Tagged {
    json: Vec<u8>,
    tag: HeaderValue,
}

impl Tagged {
    pub(super) fn new(build: &BuildBody) -> Self {
        let json = serde_json::to_vec(build).expect("a build can be written as JSON");
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&json)[..12]));
        let tag = HeaderValue::try_from(tag).expect("hexadecimal digits make a header's value");
        Self { json, tag }
    }

    /// Whether the client has it already.
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        matches(headers, &self.tag)
    }

    /// The answer, or 304 if the client has it already.
    pub(super) fn unless_known(self, headers: &HeaderMap) -> Response {
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, self.tag)]).into_response();
        }
        self.into_response()
    }
}

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let headers = [(header::CONTENT_TYPE, json), (header::ETAG, self.tag)];
        (headers, Body::from(self.json)).into_response()
    }
}

/// Whether `If-None-Match` names the tag, by weak comparison as RFC 9110 has it.
fn matches(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer_is_recognised_however_it_is_named() {
        let tag = HeaderValue::from_static("\"abc\"");
        let known = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            matches(&HeaderMap::from_iter([(header::IF_NONE_MATCH, value)]), &tag)
        };
        for same in ["\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\"", "\"x\",W/\"abc\""] {
            assert!(known(same), "{same}");
        }
        for other in ["abc", "\"ab\"", "\"abcd\"", ""] {
            assert!(!known(other), "{other}");
        }
        assert!(!matches(&HeaderMap::new(), &tag));
    }
}
