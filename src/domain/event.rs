//! The history of a build: one row for each change of its state.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BuildId, Invalid, Reason, State};

/// What happened to a build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildEvent {
    /// Grows over all builds in the order of commits within one build.
    pub id: i64,
    /// Which build.
    pub build: BuildId,
    /// What happened.
    pub kind: EventKind,
    /// What made it happen; unknown of events that older releases wrote.
    pub cause: Option<Cause>,
    /// Why, where there is a reason.
    pub reason: Option<Reason>,
    /// In words, where there are any.
    pub message: Option<String>,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The build reached this state.
    State(State),
}

/// What made a build go from one state to the next. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for the build.
    Request,
    /// Somebody asked for an earlier build once more.
    Rebuild,
    /// A dispatcher took it from the queue.
    Claim,
    /// Its Job was created, or found.
    Launch,
    /// Its Job could not be created now: it goes back to the queue for a while.
    LaunchDeferred,
    /// Its Job could not be created, and never will be.
    LaunchFailed,
    /// It was seen in the cluster.
    Observation,
    /// No container started in time.
    PendingDeadline,
    /// Its Job was gone when rows and Jobs were compared.
    JobLost,
    /// Somebody asked to cancel it.
    CancelRequest,
    /// A newer build of its concurrency group was accepted.
    Superseded,
    /// After a cancel, nothing was left of it in the cluster.
    PodGone,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 12] = [
        Self::Request,
        Self::Rebuild,
        Self::Claim,
        Self::Launch,
        Self::LaunchDeferred,
        Self::LaunchFailed,
        Self::Observation,
        Self::PendingDeadline,
        Self::JobLost,
        Self::CancelRequest,
        Self::Superseded,
        Self::PodGone,
    ];

    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Rebuild => "rebuild",
            Self::Claim => "claim",
            Self::Launch => "launch",
            Self::LaunchDeferred => "launch_deferred",
            Self::LaunchFailed => "launch_failed",
            Self::Observation => "observation",
            Self::PendingDeadline => "pending_deadline",
            Self::JobLost => "job_lost",
            Self::CancelRequest => "cancel_request",
            Self::Superseded => "superseded",
            Self::PodGone => "pod_gone",
        }
    }
}

impl FromStr for Cause {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|cause| cause.as_str() == text)
            .ok_or_else(|| Invalid::new(format_args!("is no cause of an event: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse::<Cause>(), Ok(cause));
            assert_eq!(serde_json::to_value(cause).expect("a name"), cause.as_str());
        }
        for text in ["", "Request", "request ", "because"] {
            assert!(text.parse::<Cause>().is_err(), "{text:?}");
        }
    }
}
