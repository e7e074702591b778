//! Reasons why the build itself failed: `error building image: …`.

use super::{dockerfile, network, registry};
use crate::domain::Reason;

/// Words for missing files of a `COPY` or `ADD`.
pub(super) const FILES: &str = "failed to get files used from context: ";

const EXECUTE: &str = "failed to execute command: ";
const WAIT: &str = "failed to execute command: waiting for process to exit: ";

/// End of a `RUN`'s process, as kaniko describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The process exited by itself.
    Status(i32),
    /// A signal ended the process; kaniko then exits with 255.
    Signal,
}

impl Ending {
    /// Returns the container's exit code that corresponds to this end.
    pub(super) fn exit_code(self) -> i32 {
        match self {
            Self::Status(status) => status,
            Self::Signal => 255,
        }
    }
}

/// Parses the end of a `RUN`'s process, if the words describe a failed one.
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

/// Classifies a failure of a step: the step itself failed, unless a pull of the cached layer in its place
/// did.
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
