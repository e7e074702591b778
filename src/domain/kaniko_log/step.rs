//! Why the build itself failed: `error building image: …`.

use super::{dockerfile, network, registry};
use crate::domain::Reason;

/// The files that a `COPY` or `ADD` names are not there.
pub(super) const FILES: &str = "failed to get files used from context: ";

const EXECUTE: &str = "failed to execute command: ";
const WAIT: &str = "failed to execute command: waiting for process to exit: ";

/// How the process of a `RUN` ended, by kaniko's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It exited by itself.
    Status(i32),
    /// A signal ended it; kaniko then exits with 255.
    Signal,
}

impl Ending {
    /// The container's exit code that goes with it.
    pub(super) fn exit_code(self) -> i32 {
        match self {
            Self::Status(status) => status,
            Self::Signal => 255,
        }
    }
}

/// How the process of a `RUN` ended, if the words say that one failed.
pub(super) fn ending(words: &str) -> Option<Ending> {
    let rest = &words[words.rfind(WAIT)? + WAIT.len()..];
    if rest.starts_with("signal: ") {
        return Some(Ending::Signal);
    }
    rest.strip_prefix("exit status ")?
        .trim_end()
        .parse()
        .ok()
        .map(Ending::Status)
}

pub(super) fn reason(words: &str) -> Reason {
    if ending(words).is_some() {
        return Reason::BuildStepFailed;
    }
    if let Some(reason) = dockerfile::text(words) {
        return reason;
    }
    if network::disk_full(words) {
        return Reason::DiskFull;
    }
    if let Some((_, cause)) = words.split_once(EXECUTE) {
        return executing(cause);
    }
    if words.contains(FILES) {
        return Reason::BuildStepFailed;
    }
    registry::pull(words).unwrap_or(Reason::Unknown)
}

/// A step failed by itself, unless a cached layer that stands for it could not be pulled.
fn executing(cause: &str) -> Reason {
    let pulls = [
        "extracting fs from image",
        "retrieving image layers",
        "retrieve image layers",
    ]
    .iter()
    .any(|start| cause.starts_with(start));
    if pulls {
        registry::pull(cause).unwrap_or(Reason::Unknown)
    } else {
        Reason::BuildStepFailed
    }
}
