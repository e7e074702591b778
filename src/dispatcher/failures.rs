//! Failures that the dispatcher itself decides.

use std::time::Duration;

use crate::domain::{Failure, Reason};

/// Returns the failure of a build that waited for a container until the pending deadline.
pub(super) fn pending_too_long(reason: Option<Reason>, message: Option<&str>, waited: Duration) -> Failure {
    let waited = waited.as_secs();
    let text = match message {
        Some(message) => format!("No container started within {waited} s: {message}"),
        None => format!("No container started within {waited} s, and the cluster does not say why."),
    };
    Failure::new(reason.unwrap_or(Reason::Unknown), text)
}

/// Returns the failure of a build whose Job vanished more often than it may be launched again.
pub(super) fn job_lost(relaunches: u32) -> Failure {
    let text = format!(
        "The build's Job was deleted by somebody else, or by the cluster, {} times; it is not made again.",
        relaunches + 1
    );
    Failure::new(Reason::JobLost, text)
}

/// Returns the failure of a build whose Job name is taken by another Job.
pub(super) fn name_conflict(name: &str) -> Failure {
    let text = format!("A Job named {name} exists in the namespace and does not belong to this build.");
    Failure::new(Reason::NameConflict, text)
}

/// Returns the failure of a build whose Job was refused, and would be refused again.
pub(super) fn launch_refused(why: &str) -> Failure {
    let text: String = format!("The build's Job was refused: {why}")
        .chars()
        .take(1000)
        .collect();
    Failure::new(Reason::LaunchFailed, text)
}
