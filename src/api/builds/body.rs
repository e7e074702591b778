//! How builds look in JSON. Fields are only ever added; those without a value are null, not absent.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::progress::{CurrentStepBody, PlaceBody, StepBody};
use crate::domain::{
    self, BuildId, BuildSpec, Cause, Class, Digest, EventKind, Phase, ProjectName, Reason, State,
    build::{AttemptState, TriggeredBy},
};

/// One request: one source, one Dockerfile, one or more destinations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Build)]
pub struct BuildBody {
    /// Its identifier; its Job is called `build-<id>`.
    id: BuildId,
    /// Who owns it.
    project: ProjectName,
    /// Where it stands. `succeeded`, `failed`, `cancelled`, `superseded` and `expired` are final.
    state: State,
    /// How far it has come, while it runs.
    #[schema(required = true)]
    phase: Option<Phase>,
    /// What it waits for while its phase is `pending`, where that is known.
    #[schema(required = true)]
    waiting: Option<Waiting>,
    /// What was asked for.
    spec: BuildSpec,
    /// The build that this one repeats.
    #[schema(required = true)]
    rebuild_of: Option<BuildId>,
    /// The trigger that it came of, where it came of one.
    #[schema(required = true)]
    triggered_by: Option<TriggeredBy>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its first container started.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it reached a final state.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// When somebody asked to cancel it.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    cancel_requested_at: Option<Timestamp>,
    /// The newer build of its concurrency group that took its place, or takes it as soon as its pod is gone.
    #[schema(required = true)]
    superseded_by: Option<BuildId>,
    /// How many attempts failed.
    retries: u32,
    /// The pushed image's digest.
    #[schema(required = true)]
    digest: Option<Digest>,
    /// Why it failed, if it did.
    #[schema(required = true)]
    failure: Option<FailureBody>,
    /// What kaniko executes now, while the phase is `building`; null in lists.
    #[schema(required = true)]
    step: Option<CurrentStepBody>,
    /// Where it stands while it is queued; null in lists, and in the answer to its creation.
    #[schema(required = true)]
    queue: Option<PlaceBody>,
    /// The steps of its latest attempt, the first 500; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    steps: Option<Vec<StepBody>>,
    /// Its attempts, oldest first; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts: Option<Vec<AttemptBody>>,
}

/// What a build waits for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Waiting {
    /// For programs.
    #[schema(required = true)]
    reason: Option<Reason>,
    /// In the cluster's words.
    #[schema(required = true)]
    message: Option<String>,
}

/// Why a build or an attempt failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureBody {
    /// For programs.
    reason: Reason,
    /// Whose matter it is.
    class: Class,
    /// Whether another try can help.
    retryable: bool,
    /// For people: one or two sentences.
    message: String,
    /// The container's exit code, where one was seen.
    #[schema(required = true)]
    exit_code: Option<i32>,
    /// The end of the log.
    #[schema(required = true)]
    log_snippet: Option<String>,
}

/// One pod's run of a build's Job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptBody {
    /// Counted from 1.
    number: u32,
    /// The pod's or container's name.
    name: String,
    /// How it stands.
    state: AttemptState,
    /// The node that it ran on.
    #[schema(required = true)]
    node: Option<String>,
    /// When its container started.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When its container ended.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Its exit code.
    #[schema(required = true)]
    exit_code: Option<i32>,
    /// Why it failed, if it did.
    #[schema(required = true)]
    failure: Option<FailureBody>,
    /// Bytes of its log that are stored.
    log_bytes: u64,
}

/// Something that happened to a build.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// Grows from event to event of a build.
    id: i64,
    /// The build.
    build_id: BuildId,
    /// The state that the build reached.
    state: State,
    /// What made it happen; null of events that older releases wrote.
    #[schema(required = true)]
    cause: Option<Cause>,
    /// Why, where there is a reason.
    #[schema(required = true)]
    reason: Option<Reason>,
    /// In words, where there are any.
    #[schema(required = true)]
    message: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// The attempts of a build.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attempts {
    /// Oldest first.
    pub attempts: Vec<AttemptBody>,
}

/// The events of a build.
#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<EventBody>,
}

/// A page of builds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Builds {
    /// Newest first.
    pub builds: Vec<BuildBody>,
    /// Give it as `cursor` to see older builds; null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What is shown of a build that is read by itself.
#[derive(Debug, Default)]
pub struct Details {
    /// Its attempts, oldest first.
    pub attempts: Vec<domain::Attempt>,
    /// The steps of the latest of them.
    pub steps: Vec<domain::StepRun>,
    /// Where it stands, while it is queued.
    pub place: Option<domain::queue::Place>,
}

impl BuildBody {
    /// A build in a list.
    pub fn brief(build: domain::Build) -> Self {
        Self::new(build, None, None)
    }

    /// A build by itself.
    pub fn full(build: domain::Build, details: Details) -> Self {
        let step = CurrentStepBody::of(&build, &details.steps);
        let steps = details.steps.into_iter().map(StepBody::from).collect();
        let attempts = details.attempts.into_iter().map(AttemptBody::from).collect();
        Self {
            step,
            queue: details.place.map(PlaceBody::from),
            ..Self::new(build, Some(steps), Some(attempts))
        }
    }

    fn new(build: domain::Build, steps: Option<Vec<StepBody>>, attempts: Option<Vec<AttemptBody>>) -> Self {
        let waits = build.waiting_reason.is_some() || build.waiting_message.is_some();
        Self {
            id: build.id,
            project: build.spec.project.clone(),
            state: build.state,
            phase: build.phase,
            waiting: waits.then_some(Waiting {
                reason: build.waiting_reason,
                message: build.waiting_message,
            }),
            spec: build.spec,
            rebuild_of: build.rebuild_of,
            triggered_by: build.triggered_by,
            created_at: build.created_at,
            started_at: build.started_at,
            finished_at: build.finished_at,
            cancel_requested_at: build.cancel_requested_at,
            superseded_by: build.superseded_by,
            retries: build.retries,
            digest: build.digest,
            failure: build.failure.map(FailureBody::from),
            step: None,
            queue: None,
            steps,
            attempts,
        }
    }
}

impl From<domain::Failure> for FailureBody {
    fn from(failure: domain::Failure) -> Self {
        Self {
            reason: failure.reason,
            class: failure.reason.class(),
            retryable: failure.reason.retryable(),
            message: failure.message,
            exit_code: failure.exit_code,
            log_snippet: failure.log_snippet,
        }
    }
}

impl From<domain::Attempt> for AttemptBody {
    fn from(attempt: domain::Attempt) -> Self {
        Self {
            number: attempt.number,
            name: attempt.name,
            state: attempt.state,
            node: attempt.node,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            exit_code: attempt.exit_code,
            failure: attempt.failure.map(FailureBody::from),
            log_bytes: attempt.log_bytes,
        }
    }
}

impl From<domain::BuildEvent> for EventBody {
    fn from(event: domain::BuildEvent) -> Self {
        let EventKind::State(state) = event.kind;
        Self {
            id: event.id,
            build_id: event.build,
            state,
            cause: event.cause,
            reason: event.reason,
            message: event.message,
            at: event.at,
        }
    }
}
