//! Parses the common parts of the hosts' payloads.

use std::borrow::Cow;

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::{Change, Malformed};
use crate::domain::push::{NamedRef, Push};

/// Returns a header's text, or an empty one if the header is missing or no text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Returns a header's text if it is not empty.
pub(super) fn id(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = header(headers, name);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Parses the JSON of a body, or of its field `payload` if the host sent a form.
pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Malformed> {
    let form =
        header(headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded");
    let text: Cow<'_, [u8]> = if form {
        let field = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let (_, payload) = field.ok_or_else(|| Malformed("the form has no field `payload`".to_owned()))?;
        Cow::Owned(payload.into_owned().into_bytes())
    } else {
        Cow::Borrowed(body)
    };
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Malformed(format!("the body cannot be read: {error}")))?;
    reader
        .end()
        .map_err(|error| Malformed(format!("the body goes on after its JSON: {error}")))?;
    Ok(value)
}

/// Returns the change of a ref, from its full name and the commit that it points at now, if any.
pub(super) fn change(full: &str, commit: Option<&str>, message: Option<String>) -> Change {
    match NamedRef::of_full(full) {
        Some(reference) => of_ref(reference, commit, message),
        None => Change::Unbuildable(format!(
            "{} is neither a branch nor a tag that can be built",
            shown(full)
        )),
    }
}

/// Returns the change of a branch or tag.
pub(super) fn of_ref(reference: NamedRef, commit: Option<&str>, message: Option<String>) -> Change {
    let Some(commit) = commit.filter(|commit| !is_zero(commit)) else {
        return Change::Deleted(reference);
    };
    match commit.to_ascii_lowercase().parse() {
        Ok(commit) => Change::Pushed(Push {
            reference,
            commit,
            message,
        }),
        Err(_) => Change::Unbuildable(format!("{} is no commit id that kaniko can fetch", shown(commit))),
    }
}

/// Returns true if the commit id consists of zeros, which hosts send for no commit.
fn is_zero(commit: &str) -> bool {
    commit.bytes().all(|byte| byte == b'0')
}

/// Quotes a host's text for a message: at most 100 characters, with unprintable ones escaped.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    format!("{start:?}")
}
