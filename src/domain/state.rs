//! States of a build and the transitions between them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Invalid;

/// State of a build. The last five are terminal: a build never leaves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for a slot.
    Queued,
    /// Claimed by a dispatcher that is creating its Job.
    Launching,
    /// Its Job exists.
    Running,
    /// Being cancelled, or superseded by a newer build; its pod may still exist.
    Cancelling,
    /// The image was built and pushed.
    Succeeded,
    /// Ended without an image; `failure` has the cause.
    Failed,
    /// Stopped on request, and its pod is gone.
    Cancelled,
    /// A newer build of the same concurrency group took its place.
    Superseded,
    /// Exceeded the maximum time in the queue.
    Expired,
}

impl State {
    /// All states, in the order of a build's life.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Launching,
        Self::Running,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
        Self::Expired,
    ];

    /// Returns the name used in JSON, in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Launching => "launching",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
        }
    }

    /// Returns true if a build in this state never changes again.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Superseded | Self::Expired
        )
    }

    /// Returns true if a build in this state holds one of its project's slots.
    pub const fn holds_slot(self) -> bool {
        matches!(self, Self::Launching | Self::Running | Self::Cancelling)
    }

    /// Returns true if a build may go from this state to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(
                next,
                Self::Launching | Self::Cancelling | Self::Superseded | Self::Expired
            ),
            // Back to the queue if the cluster does not answer; `failed` if the Job cannot be created at all.
            Self::Launching => matches!(
                next,
                Self::Queued | Self::Running | Self::Failed | Self::Cancelling
            ),
            // Back to launching if its Job was lost and is created again.
            Self::Running => matches!(
                next,
                Self::Launching | Self::Succeeded | Self::Failed | Self::Cancelling
            ),
            // Succeeded if its image was pushed before its pod could be stopped.
            Self::Cancelling => matches!(next, Self::Cancelled | Self::Superseded | Self::Succeeded),
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Superseded | Self::Expired => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Invalid::new(format_args!("is no state of a build: {text:?}")))
    }
}

/// Phase of a running build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The Job exists, but no container runs yet.
    Pending,
    /// The context is being fetched.
    Fetching,
    /// kaniko executes the Dockerfile.
    Building,
    /// kaniko pushes to the destinations.
    Pushing,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Fetching, Self::Building, Self::Pushing];

    /// Returns the name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching => "fetching",
            Self::Building => "building",
            Self::Pushing => "pushing",
        }
    }
}

impl FromStr for Phase {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| Invalid::new(format_args!("is no phase of a build: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::{State::*, *};

    /// All allowed transitions; every other one is refused.
    const WAYS: [(State, &[State]); 9] = [
        (Queued, &[Launching, Cancelling, Superseded, Expired]),
        (Launching, &[Queued, Running, Failed, Cancelling]),
        (Running, &[Launching, Succeeded, Failed, Cancelling]),
        (Cancelling, &[Succeeded, Cancelled, Superseded]),
        (Succeeded, &[]),
        (Failed, &[]),
        (Cancelled, &[]),
        (Superseded, &[]),
        (Expired, &[]),
    ];

    #[test]
    fn builds_go_the_documented_ways_only() {
        for (from, ways) in WAYS {
            for to in State::ALL {
                assert_eq!(from.may_become(to), ways.contains(&to), "{from} to {to}");
            }
        }
    }

    #[test]
    fn terminal_is_terminal_and_holds_nothing() {
        for (state, ways) in WAYS {
            assert_eq!(state.is_terminal(), ways.is_empty(), "{state}");
            assert!(!(state.is_terminal() && state.holds_slot()), "{state}");
        }
        let holders: Vec<_> = State::ALL
            .into_iter()
            .filter(|state| state.holds_slot())
            .collect();
        assert_eq!(holders, [Launching, Running, Cancelling]);
    }

    #[test]
    fn every_state_can_end() {
        for start in State::ALL {
            let mut reached = vec![start];
            for _ in State::ALL {
                let next = State::ALL
                    .into_iter()
                    .filter(|to| reached.iter().any(|from| from.may_become(*to)));
                let next: Vec<_> = next.collect();
                reached.extend(next);
            }
            assert!(reached.iter().any(|state| state.is_terminal()), "{start}");
        }
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>(), Ok(state));
            assert_eq!(serde_json::to_value(state).expect("a name"), state.as_str());
        }
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse::<Phase>(), Ok(phase));
            assert_eq!(serde_json::to_value(phase).expect("a name"), phase.as_str());
        }
        for text in ["", "Queued", "queued ", "done"] {
            assert!(
                text.parse::<State>().is_err() && text.parse::<Phase>().is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn phases_go_forward() {
        assert!(Phase::ALL.is_sorted());
    }
}
