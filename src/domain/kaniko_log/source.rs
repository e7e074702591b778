//! Reasons why the context could not be fetched: `error resolving source context: …`.

use super::network::{self, status_after};
use crate::domain::Reason;

/// State of the download when kaniko gave up, according to its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fetch {
    /// `true` if the download had begun.
    pub(super) downloading: bool,
    /// `true` if the download was complete: the archive causes every later error.
    pub(super) downloaded: bool,
}

pub(super) fn reason(words: &str, fetch: Fetch) -> Reason {
    if network::disk_full(words) {
        return Reason::DiskFull;
    }
    if words.ends_with("no such file or directory") {
        // The archive is missing, or the sub-path is missing in the fetched context.
        return if words.starts_with("open ") {
            Reason::SourceNotFound
        } else {
            Reason::ContextInvalid
        };
    }
    if let Some(reason) = by_status(words) {
        return reason;
    }
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    if any(REVISION) {
        Reason::RevisionNotFound
    } else if any(AUTH) {
        Reason::SourceAuthFailed
    } else if any(NOT_FOUND) {
        Reason::SourceNotFound
    } else if any(INVALID) {
        Reason::ContextInvalid
    } else if network::ends_early(words) && !looks_remote(words) {
        if fetch.downloading && !fetch.downloaded {
            Reason::SourceFetchFailed
        } else {
            Reason::ContextInvalid
        }
    } else {
        Reason::SourceFetchFailed
    }
}

const AUTH: &[&str] = &[
    "authentication required",
    "authorization failed",
    "invalid auth method",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "no EC2 IMDS role found",
    "failed to retrieve credentials",
    "could not find default credentials",
    "invalid_grant",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "AZURE_STORAGE_ACCESS_KEY environment variable is not set",
];

const NOT_FOUND: &[&str] = &[
    "repository not found",
    "object doesn't exist",
    "bucket doesn't exist",
    "NoSuchKey",
    "NoSuchBucket",
    "BlobNotFound",
    "ContainerNotFound",
];

const REVISION: &[&str] = &[
    "reference not found",
    "couldn't find remote ref",
    "invalid branch: ",
    "object not found",
    "not our ref",
    "does not support exact SHA1 refspec",
    "unable to resolve commit",
    "remote repository is empty",
    "invalid reference name",
    "malformed refspec",
];

const INVALID: &[&str] = &[
    "gzip: ",
    "zlib: ",
    "flate: ",
    "bzip2 ",
    "archive/tar: ",
    "tar entry ",
    "hardlink target",
    "is not allowed: references parent directory",
    "unknown build context prefix",
    "no data found",
];

/// Classifies errors of HTTP services, which carry the status.
fn by_status(words: &str) -> Option<Reason> {
    let status = [
        "bad status from server:",
        "status code:",
        "StatusCode:",
        "googleapi: Error",
        "RESPONSE",
    ]
    .iter()
    .find_map(|label| status_after(words, label))?;
    let reason = match status {
        401 | 403 | 407 => Reason::SourceAuthFailed,
        404 | 410 => Reason::SourceNotFound,
        _ => Reason::SourceFetchFailed,
    };
    Some(reason)
}

/// Returns true if the words contain a URL or an address: Go adds it if a connection broke, not for a
/// truncated file.
fn looks_remote(words: &str) -> bool {
    words.contains("://") || words.contains(" tcp ")
}
