//! The history of a build: one row for each change of its state.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BuildId, Invalid, Reason, State};

/// One event in the history of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildEvent {
    /// Identifier, which grows over all builds, within one build in the order of commits.
    pub id: i64,
    /// The build.
    pub build: BuildId,
    /// Kind of the event.
    pub kind: EventKind,
    /// Cause of the event; unknown for events that older releases wrote.
    pub cause: Option<Cause>,
    /// Reason, if there is one.
    pub reason: Option<Reason>,
    /// Message for people, if there is one.
    pub message: Option<String>,
    /// Time of the event by the database's clock.
    pub at: Timestamp,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The build reached this state.
    State(State),
}

/// Cause of a transition from one state to the next. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A caller requested the build.
    Request,
    /// A caller requested a rebuild of an earlier build.
    Rebuild,
    /// A dispatcher claimed it from the queue.
    Claim,
    /// Its Job was created or found.
    Launch,
    /// Its Job could not be created for now: the build returns to the queue until the next try.
    LaunchDeferred,
    /// Its Job can never be created.
    LaunchFailed,
    /// An observation of its Job and pods.
    Observation,
    /// No container started in time.
    PendingDeadline,
    /// Its Job was missing when rows and Jobs were compared.
    JobLost,
    /// A caller requested the cancellation.
    CancelRequest,
    /// A newer build of its concurrency group was accepted.
    Superseded,
    /// Nothing of the build was left in the cluster after its cancellation.
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

    /// Returns the name used in JSON and in the database.
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
