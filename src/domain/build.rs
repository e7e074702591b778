//! A build as it is stored.

use jiff::Timestamp;

use super::{BuildId, BuildSpec, DeliveryId, Digest, Failure, Phase, Reason, State, TriggerId};

/// A build that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// Its identifier, made by whoever creates it.
    pub id: BuildId,
    /// What to build, and for whom.
    pub spec: BuildSpec,
    /// The build that this one repeats.
    pub rebuild_of: Option<BuildId>,
    /// The caller's key, and what the request was (its SHA-256), so that a repeated request gives the same build.
    pub idempotency: Option<Idempotency>,
}

/// A request that may be sent twice and counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's `Idempotency-Key`, at most 255 bytes.
    pub key: String,
    /// SHA-256 over the request's canonical JSON: the same key with another request is refused.
    pub request_sha256: [u8; 32],
}

/// A build with all that is known of it, except its attempts, events and logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// Its identifier.
    pub id: BuildId,
    /// Where it stands.
    pub state: State,
    /// How far it has come, while it runs.
    pub phase: Option<Phase>,
    /// What it waits for while its phase is `pending`, where that is known.
    pub waiting_reason: Option<Reason>,
    /// The cluster's words for it.
    pub waiting_message: Option<String>,
    /// What was asked for.
    pub spec: BuildSpec,
    /// The build that this one repeats.
    pub rebuild_of: Option<BuildId>,
    /// The trigger that it came of.
    pub triggered_by: Option<TriggeredBy>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first container started.
    pub started_at: Option<Timestamp>,
    /// When it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// The newer build of its group that took its place, or is taking it.
    pub superseded_by: Option<BuildId>,
    /// Failed attempts, as the Job counts them.
    pub retries: u32,
    /// The pushed image's digest.
    pub digest: Option<Digest>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Grows with every change of the row: the `ETag`.
    pub version: i64,
}

/// What of a trigger a build came of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TriggeredBy {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// The rule's name then.
    pub rule: String,
    /// The delivery; it may have been removed since.
    #[schema(required = true)]
    pub delivery_id: Option<DeliveryId>,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Its container has not started.
    Pending,
    /// Its container runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
}

/// One pod's run of a build's Job, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Counted from 1 within the build.
    pub number: u32,
    /// The pod's or container's name.
    pub name: String,
    /// How it stands.
    pub state: AttemptState,
    /// The node that it ran on.
    pub node: Option<String>,
    /// When its container started.
    pub started_at: Option<Timestamp>,
    /// When its container ended.
    pub finished_at: Option<Timestamp>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Bytes of its log that are stored.
    pub log_bytes: u64,
}

/// A step of an attempt: an instruction of the Dockerfile, and when it was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRun {
    /// Counted from 1 over all stages.
    pub number: u32,
    /// The instruction, such as `RUN make`.
    pub instruction: String,
    /// When the log announced it.
    pub started_at: Timestamp,
    /// When it had ended; also unknown where the log was read long after it was written.
    pub finished_at: Option<Timestamp>,
}
