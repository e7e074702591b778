//! Bodies, paths and headers of requests, parsed at the edge; whatever cannot be parsed is a problem that says where.

use std::{str::FromStr, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use serde_json::Value;

use super::{
    problem::{Code, FieldError, Problem},
    strict::Strict,
};

/// The largest JSON body.
pub(super) const JSON_LIMIT: usize = 256 * 1024;

/// How long a small body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
pub(super) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonText(text) = JsonText::from_request(request, state).await?;
        parse(&text).map(Self)
    }
}

/// A body that says that it is JSON, as it arrived: for those who look at more than what it describes.
pub(super) struct JsonText(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let kind = media_type(&parts.headers)?;
        let json =
            kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
        if !json {
            return Err(Problem::new(Code::UnsupportedMediaType).detail("send application/json"));
        }
        read(&parts.headers, body, JSON_LIMIT).await.map(Self)
    }
}

/// The kind of a body, without its parameters, in lower case. A body that is packed once more is of no kind we take.
pub(super) fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    let unsupported = |detail: &str| Problem::new(Code::UnsupportedMediaType).detail(detail);
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value != "identity")
    {
        return Err(unsupported("send the body without a Content-Encoding"));
    }
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| unsupported("say in Content-Type what the body is"))?;
    let kind = value.split(';').next().unwrap_or_default();
    Ok(kind.trim().to_ascii_lowercase())
}

/// Reads a small body: refused by its announced length if that is too much already, and cut off at the limit.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    if content_length(headers).is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit as u64));
    }
    let reading = Limited::new(body, limit).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .map_err(|_| Problem::new(Code::RequestTimeout))?;
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit as u64)),
        Err(_) => Err(Problem::new(Code::BadRequest).detail("the body broke off")),
    }
}

/// The length that the body will have, where it is announced.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body above its limit.
pub(super) fn too_large(limit: u64) -> Problem {
    Problem::new(Code::BodyTooLarge).detail(format!("at most {limit} bytes are taken here"))
}

/// A field that may be left out, and is not null where it is there: for serde, with `default`.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// Parses JSON. Where it fails it is parsed once more, slowly, to learn whether it is JSON at all, and in which field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take fields from an array, too, by their order.
    let object = bytes.trim_ascii_start().starts_with(b"{");
    if object && let Ok(value) = serde_json::from_slice(bytes) {
        return strictly::<T>(bytes).map(|()| value);
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return Err(Problem::new(Code::MalformedJson).detail(error.to_string()));
    }
    if !object {
        return Err(Problem::field("", "must be a JSON object").detail("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|error| field_error(&error).into())
}

/// Refuses what was parsed, where an array took the place of an object in it.
fn strictly<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), Problem> {
    let value = || serde_json::from_slice::<Value>(bytes).map(Strict);
    let json = value().map_err(|error| Problem::new(Code::MalformedJson).detail(error.to_string()))?;
    if T::deserialize(json).is_ok() {
        return Ok(());
    }
    let json = value().map_err(|error| Problem::new(Code::MalformedJson).detail(error.to_string()))?;
    match serde_path_to_error::deserialize::<_, T>(json) {
        Ok(_) => Ok(()),
        Err(error) => Err(field_error(&error).into()),
    }
}

/// Says which field it was, in words for people who do not know serde.
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let said = error.inner().to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(words, _)| words);
    let named = said.split('`').nth(1).unwrap_or_default();
    let within = |field: &str| match path.as_str() {
        "" => field.to_owned(),
        path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        path => format!("{path}.{field}"),
    };
    if said.starts_with("missing field") {
        return FieldError::new(within(named), "is required");
    }
    if said.starts_with("unknown field") {
        return FieldError::new(within(named), "is not a known field");
    }
    if said.starts_with("duplicate field") {
        return FieldError::new(within(named), "is given twice");
    }
    FieldError::new(path, said.chars().take(300).collect::<String>())
}

/// An identifier in the path. What is none names nothing: 404.
pub(super) struct PathId<T>(pub T);

impl<S: Send + Sync, T: FromStr + Send> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::new(Code::NotFound);
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| nothing())?;
        text.parse().map(Self).map_err(|_| nothing())
    }
}

/// Two identifiers in the path, likewise.
pub(super) struct PathIds<A, B>(pub A, pub B);

impl<S: Send + Sync, A: FromStr + Send, B: FromStr + Send> FromRequestParts<S> for PathIds<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::new(Code::NotFound);
        let Path((one, other)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| nothing())?;
        match (one.parse(), other.parse()) {
            (Ok(one), Ok(other)) => Ok(Self(one, other)),
            _ => Err(nothing()),
        }
    }
}

/// The value of a header that may be given once.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::field(name.as_str(), "is given more than once"));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::field(name.as_str(), "must be visible ASCII"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::BuildSpec;

    fn refused(body: &str) -> Value {
        let problem = parse::<BuildSpec>(body.as_bytes()).expect_err(body);
        serde_json::from_slice(&problem.body("1")).expect("a problem is JSON")
    }

    fn field(body: &Value) -> (String, String) {
        let refused = refused(&body.to_string());
        assert_eq!(refused["code"], "validation_failed", "{refused}");
        let error = &refused["errors"][0];
        let text = |name: &str| error[name].as_str().expect("it is a text").to_owned();
        (text("field"), text("reason"))
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_no_request() {
        for body in ["", "{", "{]", "nul", "{} {}", "\u{feff}{}", &"[".repeat(10_000)] {
            assert_eq!(refused(body)["code"], "malformed_json", "{body:.20}");
        }
        assert_eq!(refused("{}")["code"], "validation_failed");
    }

    #[test]
    fn a_refused_request_names_the_field_and_the_reason() {
        let git = json!({"git": {"url": "https://host/x.git"}});
        let to = json!(["registry.example/app:1"]);
        for (body, expected, reason) in [
            (json!({"destinations": to}), "source", "is required"),
            (json!({"source": git}), "destinations", "is required"),
            (
                json!({"source": {"git": {}}, "destinations": to}),
                "source.git.url",
                "is required",
            ),
            (
                json!({"source": {"git": {"url": "ext::sh -c x"}}, "destinations": to}),
                "source.git.url",
                "",
            ),
            (
                json!({"source": {"git": {"url": "https://host/x", "banch": "x"}}, "destinations": to}),
                "source.git.banch",
                "is not a known field",
            ),
            (
                json!({"source": git, "destinations": ["a b"]}),
                "destinations[0]",
                "",
            ),
            (
                json!({"source": git, "destinations": []}),
                "destinations",
                "must name at least one destination",
            ),
            (
                json!({"source": git, "destinations": to, "priority": 101}),
                "priority",
                "must be between",
            ),
            (
                json!({"source": git, "destinations": to, "priority": "high"}),
                "priority",
                "invalid type",
            ),
            (
                json!({"source": git, "destinations": to, "build_args": {"PATH": "x"}}),
                "build_args.PATH",
                "",
            ),
            (
                json!({"source": git, "destinations": to, "colour": "red"}),
                "colour",
                "is not a known field",
            ),
            (
                json!({"source": {"svn": {}}, "destinations": to}),
                "source",
                "unknown variant",
            ),
            (json!("text"), "", "must be a JSON object"),
        ] {
            let (field, said) = field(&body);
            assert_eq!(field, expected, "{body}: {said}");
            assert!(said.contains(reason), "{body}: {said}");
            assert!(!said.contains("line"), "{body}: {said}");
        }
    }
}
