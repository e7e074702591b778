//! Observations of a build, in terms that are the same for every launcher.

use jiff::Timestamp;

use super::{Digest, Failure, Phase, Reason};

/// Observation of a build at one moment: a level, not an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The Job's uid, or the engine's equivalent: distinguishes this Job from a later one of the same name.
    /// Empty if only pods are left that no Job owns.
    pub external_id: String,
    /// Overall result of the observation.
    pub outcome: Outcome,
    /// Every attempt that is still visible, oldest first.
    pub attempts: Vec<AttemptSeen>,
    /// Number of failed attempts, as the Job counts them.
    pub failed_attempts: u32,
    /// `true` if the Job, or, if it is gone, every remaining pod is being deleted: no action is needed to
    /// remove it.
    pub deleting: bool,
    /// Action that the failed attempts require.
    pub advice: Advice,
}

/// Action that the latest failed attempt requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// No action.
    None,
    /// Stop the Job: it would start another attempt, which is pointless.
    StopRetrying,
    /// Start this attempt (counted from 1): the launcher does not retry by itself.
    StartAttempt(u32),
}

/// Result of a Job and its pods.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// No container runs. The reason is present if it is known; the pending deadline decides when waiting is
    /// a failure.
    Waiting {
        /// Reason for waiting, if it is known.
        reason: Option<Reason>,
        /// The cluster's message for the reason.
        message: Option<String>,
    },
    /// A container runs.
    Running {
        /// Phase that the build has reached.
        phase: Phase,
    },
    /// The image was pushed. The container's exit code decides.
    Succeeded {
        /// The image's digest, if the container reported one.
        digest: Option<Digest>,
    },
    /// The build failed: no further attempt follows.
    Failed(Failure),
}

/// Attempt as observed: one pod's (or container's) run of a build's Job.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptSeen {
    /// Name of the pod or container, which identifies the attempt.
    pub name: String,
    /// Node that it runs on, once known.
    pub node: Option<String>,
    /// Time at which its container started, by the cluster's clock.
    pub started_at: Option<Timestamp>,
    /// Time at which its container ended, by the cluster's clock.
    pub finished_at: Option<Timestamp>,
    /// The container's exit code, once it has ended.
    pub exit_code: Option<i32>,
    /// Cause of the failure; `None` for an attempt that runs or has succeeded.
    pub failure: Option<Failure>,
    /// `true` if its container runs now, so that its log can be followed.
    pub running: bool,
    /// `true` if the attempt has succeeded.
    pub succeeded: bool,
}
