//! What a launcher sees of a build, in terms that are the same for every launcher.

use jiff::Timestamp;

use super::{Digest, Failure, Phase, Reason};

/// What is to be seen of a build at one moment: a level, not an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The Job's uid, or the engine's equivalent: tells our Job from a later one of the same name. Empty when pods are
    /// left that no Job owns.
    pub external_id: String,
    /// What it all amounts to.
    pub outcome: Outcome,
    /// Every attempt that can still be seen, oldest first.
    pub attempts: Vec<AttemptSeen>,
    /// How many attempts failed, as the Job counts them.
    pub failed_attempts: u32,
    /// Whether the Job is being deleted, or all that is left of it.
    pub deleting: bool,
    /// What must be done about the attempts that have failed.
    pub advice: Advice,
}

impl Sighting {
    /// Whether what there is goes without our doing: it is being deleted, and somebody owns what is left of it.
    pub fn goes_by_itself(&self) -> bool {
        self.deleting && !self.external_id.is_empty()
    }
}

/// What the latest failed attempt calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing: all goes its way.
    None,
    /// Another try is pointless, and the Job would make one: stop it.
    StopRetrying,
    /// The launcher does not retry by itself: start this attempt (counted from 1).
    StartAttempt(u32),
}

/// What a Job and its Pods amount to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No container runs. With a reason where one is known; the pending deadline decides when that is a failure.
    Waiting {
        /// Why, where it is known.
        reason: Option<Reason>,
        /// The cluster's own words for it.
        message: Option<String>,
    },
    /// A container runs.
    Running {
        /// How far it has come.
        phase: Phase,
    },
    /// The image was pushed. The container's exit code is the verdict.
    Succeeded {
        /// The image's digest, where the container left one.
        digest: Option<Digest>,
    },
    /// No attempt is left.
    Failed(Failure),
}

/// One pod's (or container's) run of a build.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptSeen {
    /// The pod's name, or the container's: identifies the attempt.
    pub name: String,
    /// Where it runs, once that is known.
    pub node: Option<String>,
    /// When its container started, by the cluster's clock.
    pub started_at: Option<Timestamp>,
    /// When its container ended, by the cluster's clock.
    pub finished_at: Option<Timestamp>,
    /// The container's exit code, once it has ended.
    pub exit_code: Option<i32>,
    /// Why it failed, if it did. `None` for an attempt that runs or has succeeded.
    pub failure: Option<Failure>,
    /// Whether its container runs now, so that its log can be followed.
    pub running: bool,
    /// Whether it has ended well.
    pub succeeded: bool,
}
