//! Errors of the Dockerfile itself.

use super::network;
use crate::domain::Reason;

/// Classifies the words after `error resolving dockerfile path: `.
pub(super) fn path(words: &str) -> Reason {
    if network::disk_full(words) {
        Reason::DiskFull
    } else if words.contains("please provide a valid path to a Dockerfile")
        || words.contains("no such file or directory") && words.contains("open ")
    {
        Reason::DockerfileMissing
    } else if words.contains("is a directory") {
        Reason::DockerfileInvalid
    } else {
        // The file exists and cannot be read or copied: permissions, a read-only file system.
        Reason::Unknown
    }
}

/// Classifies the words after `error building image: `, if they concern the Dockerfile's text.
pub(super) fn text(words: &str) -> Option<Reason> {
    if words.starts_with("reading dockerfile at path") || words.starts_with("request failed: 404") {
        return Some(Reason::DockerfileMissing);
    }
    let begins = [
        "parsing dockerfile: ",
        "dockerfile must contain at least one FROM",
        "dockerfile parse error",
        "expanding meta ARGs: ",
        "error finding target stage: ",
        "resolving args: ",
        "failed to parse ONBUILD instructions: ",
        "could not parse reference:",
        "parsing lint options: ",
    ];
    let says = [
        "refers to a stage that does not exist",
        "refers to invalid stage",
        "is not a valid target build stage",
        "is not a supported command",
        // A base image's name violates the grammar; no registry was contacted.
        "repository can only contain the characters",
        "tag can only contain the characters",
        "a repository name must be specified",
    ];
    let words = match words.split_once("last error: ") {
        Some((retries, last)) if retries.starts_with("unable to complete operation after ") => last,
        _ => words,
    };
    (begins.iter().any(|start| words.starts_with(start)) || says.iter().any(|phrase| words.contains(phrase)))
        .then_some(Reason::DockerfileInvalid)
}
