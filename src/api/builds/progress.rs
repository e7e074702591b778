//! How far a build has come, in JSON: its steps while it runs, its place while it is queued.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    Build, Phase, State, StepRun,
    queue::{Place, WaitingFor},
};

/// What kaniko executes now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrentStep)]
pub struct CurrentStepBody {
    /// Counted from 1 over all stages of the Dockerfile.
    number: u32,
    /// How many there are; null, since kaniko does not tell.
    #[schema(required = true)]
    total: Option<u32>,
    /// The instruction, such as `RUN make`, cut after 300 characters.
    instruction: String,
}

/// An instruction of the Dockerfile, as it was executed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub struct StepBody {
    /// Counted from 1 over all stages of the Dockerfile.
    number: u32,
    /// The instruction, such as `RUN make`, cut after 300 characters.
    instruction: String,
    /// When the log announced it.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// How long it took, to about a quarter of a second; null while it runs, and where nobody saw it end.
    #[schema(required = true)]
    duration_ms: Option<u64>,
}

/// Where a queued build stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueuePlace)]
pub struct PlaceBody {
    /// Its place in its project's queue: 1 is next.
    position: u64,
    /// How many builds, of all projects, would be started before it.
    ahead: u64,
    /// Whether either of them is an estimate, as it is in a long queue.
    estimated: bool,
    /// When it may have ended; null where nothing like it has been built before.
    #[schema(required = true)]
    eta: Option<EtaBody>,
    /// What it waits for.
    waiting_for: WaitingForBody,
}

/// How long until a queued build has ended, if it succeeds: by how long earlier builds took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Eta)]
pub struct EtaBody {
    /// In one of two cases it takes no longer.
    p50_seconds: u64,
    /// In nine of ten cases it takes no longer.
    p90_seconds: u64,
}

/// What a queued build waits for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingFor)]
pub struct WaitingForBody {
    /// For programs.
    kind: WaitingKind,
    /// For people: a sentence.
    message: String,
    /// When its launch, which did not come about before, is tried again.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    retry_at: Option<Timestamp>,
}

/// Kinds of what a queued build waits for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WaitingKind {
    /// A slot, or its turn.
    Slot,
    /// One of its project's own slots.
    ProjectLimit,
    /// The cluster, or a dispatcher.
    Cluster,
    /// The next try of its launch.
    Retry,
}

impl CurrentStepBody {
    /// The last of these steps, while the build executes them.
    pub fn of(build: &Build, steps: &[StepRun]) -> Option<Self> {
        let building = build.state == State::Running && build.phase == Some(Phase::Building);
        steps.last().filter(|_| building).map(|step| Self {
            number: step.number,
            total: None,
            instruction: step.instruction.clone(),
        })
    }
}

impl From<StepRun> for StepBody {
    fn from(step: StepRun) -> Self {
        let took = step.finished_at.map(|end| end.duration_since(step.started_at));
        Self {
            number: step.number,
            instruction: step.instruction,
            started_at: step.started_at,
            duration_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or_default()),
        }
    }
}

impl From<Place> for PlaceBody {
    fn from(place: Place) -> Self {
        Self {
            position: place.position,
            ahead: place.ahead,
            estimated: place.estimated,
            eta: place.eta.map(|eta| EtaBody {
                p50_seconds: eta.p50_seconds,
                p90_seconds: eta.p90_seconds,
            }),
            waiting_for: place.waiting_for.into(),
        }
    }
}

impl From<WaitingFor> for WaitingForBody {
    fn from(waiting: WaitingFor) -> Self {
        let (kind, message) = match waiting {
            WaitingFor::Slot { free: true, .. } => (
                WaitingKind::Slot,
                "Slots are free: it starts when those ahead of it have.".to_owned(),
            ),
            WaitingFor::Slot { slots, free: false } => (
                WaitingKind::Slot,
                format!("All slots, {slots} in number, are in use."),
            ),
            WaitingFor::ProjectLimit { limit } => (
                WaitingKind::ProjectLimit,
                format!("All slots of its project, {limit} in number, are in use."),
            ),
            WaitingFor::Cluster { dispatcher: true } => (
                WaitingKind::Cluster,
                "The cluster does not take builds now.".to_owned(),
            ),
            WaitingFor::Cluster { dispatcher: false } => {
                (WaitingKind::Cluster, "No dispatcher is running.".to_owned())
            }
            WaitingFor::Retry { .. } => (
                WaitingKind::Retry,
                "Its launch did not come about, and is tried again.".to_owned(),
            ),
        };
        let retry_at = match waiting {
            WaitingFor::Retry { at } => Some(at),
            _ => None,
        };
        Self {
            kind,
            message,
            retry_at,
        }
    }
}
