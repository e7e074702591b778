//! Errors of registries and of the network on the way to them, for base images and for pushes.

use std::sync::LazyLock;

use regex::Regex;

use super::network;
use crate::domain::Reason;

/// Meaning of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    NotFound,
    Unauthorized,
    Denied,
    TooManyRequests,
    /// 409, 412, or an equivalent code: an existing object must not be replaced.
    Conflict,
    Unsupported,
    Unavailable,
    /// The registry refused the request for another reason.
    Refused,
}

// `GET https://host/v2/…: CODE: words`. A tag or the registry's own words may look like a code, so only the
// position right after the request counts.
static CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:GET|HEAD|POST|PUT|PATCH|DELETE) [^\s]+: (?:multiple errors returned: )?([A-Za-z][A-Za-z0-9_ ]*):")
        .expect("the pattern is valid")
});
static STATUS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"unexpected status(?: code)? ([0-9]{3})\b").expect("the pattern is valid"));

/// Returns the reason why a base image could not be pulled, if the words describe that.
pub(super) fn pull(words: &str) -> Option<Reason> {
    if [
        "no child with platform",
        "no child with digest",
        "image not found on any configured mapped registries",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
    {
        return Some(Reason::BaseImageNotFound);
    }
    let reason = match answer(words)? {
        Answer::NotFound => Reason::BaseImageNotFound,
        Answer::Unauthorized | Answer::Denied => Reason::BaseImageUnauthorized,
        Answer::TooManyRequests => Reason::BaseImageRateLimited,
        Answer::Conflict | Answer::Unsupported | Answer::Unavailable | Answer::Refused => {
            Reason::BaseImageUnavailable
        }
    };
    Some(reason)
}

/// Returns the reason why the image could not be pushed.
pub(super) fn push(words: &str) -> Reason {
    if network::disk_full(words) {
        return Reason::DiskFull;
    }
    if says_immutable(words) {
        return Reason::TagImmutable;
    }
    match answer(words) {
        Some(Answer::Unauthorized) => Reason::RegistryUnauthorized,
        // Another try does not help either if the repository must exist before a push.
        Some(Answer::Denied | Answer::Unsupported) => Reason::PushDenied,
        Some(Answer::NotFound) if CODE.is_match(words) => Reason::PushDenied,
        Some(Answer::Conflict) => Reason::TagImmutable,
        Some(Answer::TooManyRequests | Answer::Unavailable) => Reason::RegistryUnavailable,
        Some(Answer::NotFound | Answer::Refused) => Reason::PushFailed,
        None if without_credentials(words) => Reason::RegistryUnauthorized,
        None => Reason::PushFailed,
    }
}

/// Returns true if the words describe an immutable tag, as Harbor, ECR, Artifact Registry, Nexus and others
/// phrase it; their codes differ. No phrase could be a repository's name.
fn says_immutable(words: &str) -> bool {
    let lower = words.to_ascii_lowercase();
    [
        "tag immutability",
        "is immutable",
        "as immutable",
        "immutable tag",
        "cannot be overwritten",
        "does not allow updating asset",
    ]
    .iter()
    .any(|phrase| lower.contains(phrase))
        || CODE
            .captures(words)
            .is_some_and(|code| matches!(&code[1], "TAG_INVALID" | "TAG_IMMUTABLE"))
}

/// Returns true if a credential helper failed, or the registry's token service returned no token.
fn without_credentials(words: &str) -> bool {
    [
        "resolving authorization for",
        "resolving pushAuth",
        "error getting credentials",
        "no token in bearer response",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
}

fn answer(words: &str) -> Option<Answer> {
    if let Some(code) = CODE.captures(words)
        && let Some(answer) = by_code(&code[1].to_ascii_uppercase())
    {
        return Some(answer);
    }
    if let Some(status) = STATUS.captures(words) {
        return status[1].parse().ok().map(by_status);
    }
    if CODE.is_match(words) {
        return Some(if network::failed(words) {
            Answer::Unavailable
        } else {
            Answer::Refused
        });
    }
    network::failed(words).then_some(Answer::Unavailable)
}

fn by_code(code: &str) -> Option<Answer> {
    let answer = match code {
        "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "NOT_FOUND" | "NAME_INVALID" | "REPOSITORY_NOT_FOUND" => {
            Answer::NotFound
        }
        "UNAUTHORIZED" => Answer::Unauthorized,
        "DENIED" | "FORBIDDEN" | "PROJECTPOLICYVIOLATION" => Answer::Denied,
        "TOOMANYREQUESTS" | "TOO_MANY_REQUESTS" => Answer::TooManyRequests,
        "PRECONDITION" | "CONFLICT" => Answer::Conflict,
        "UNSUPPORTED" => Answer::Unsupported,
        "UNAVAILABLE" | "UNKNOWN" | "INTERNAL_ERROR" | "INTERNAL" => Answer::Unavailable,
        _ => return None,
    };
    Some(answer)
}

fn by_status(status: u16) -> Answer {
    match status {
        401 | 407 => Answer::Unauthorized,
        403 => Answer::Denied,
        404 | 410 => Answer::NotFound,
        405 | 501 => Answer::Unsupported,
        409 | 412 => Answer::Conflict,
        429 => Answer::TooManyRequests,
        408 | 500.. => Answer::Unavailable,
        _ => Answer::Refused,
    }
}
