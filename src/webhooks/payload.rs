//! What the hosts' payloads have in common.

use std::borrow::Cow;

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::{Change, Malformed};
use crate::domain::push::{NamedRef, Push};

/// A header's text; empty where it is missing or no text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A header's text, if there is some.
pub(super) fn id(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = header(headers, name);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The JSON of a body. Some hosts send it as a form with one field, unless they are told otherwise.
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

/// What became of a ref, from its full name and the commit that it points at now, if any.
pub(super) fn change(full: &str, commit: Option<&str>, message: Option<String>) -> Change {
    match NamedRef::of_full(full) {
        Some(reference) => of_ref(reference, commit, message),
        None => Change::Unbuildable(format!(
            "{} is neither a branch nor a tag that can be built",
            shown(full)
        )),
    }
}

/// What became of a branch or tag.
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

/// How hosts write that there is no commit.
fn is_zero(commit: &str) -> bool {
    commit.bytes().all(|byte| byte == b'0')
}

/// A host's text in a message of ours: bounded, and quoted with what is odd in it made visible.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    format!("{start:?}")
}
