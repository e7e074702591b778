//! What is wrong with the Dockerfile itself.

use super::network;
use crate::domain::Reason;

/// Of `error resolving dockerfile path: …`.
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
        // It is there and cannot be read or copied: permissions, a read-only file system.
        Reason::Unknown
    }
}

/// Of `error building image: …`, if it is about the Dockerfile's text.
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
        // A base image's name that breaks the grammar; no registry was asked.
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
