//! The service's answers, as far as this program reads them. What a newer service adds is passed over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::ClientError;
use crate::domain::{AttemptState, BuildId, ContextId, State};

/// A build.
#[derive(Debug, Clone, Deserialize)]
pub struct Build {
    /// Its identifier.
    pub id: BuildId,
    /// Who owns it.
    pub project: String,
    /// Where it stands.
    pub state: State,
    /// How far it has come, while it runs.
    pub phase: Option<String>,
    /// What it waits for while its phase is `pending`.
    pub waiting: Option<Waiting>,
    /// The step that it is at, while it is building.
    #[serde(default)]
    pub step: Option<Step>,
    /// The steps of its latest attempt.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Its place, while it is queued.
    #[serde(default)]
    pub queue: Option<Place>,
    /// What was asked for.
    pub spec: Spec,
    /// The build that it repeats.
    pub rebuild_of: Option<BuildId>,
    /// The newer build that took, or takes, its place.
    #[serde(default)]
    pub superseded_by: Option<BuildId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first container started.
    pub started_at: Option<Timestamp>,
    /// When it reached a final state.
    pub finished_at: Option<Timestamp>,
    /// How many attempts failed.
    pub retries: u32,
    /// The pushed image's digest.
    pub digest: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Its attempts, oldest first; absent in lists.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// What a build waits for.
#[derive(Debug, Clone, Deserialize)]
pub struct Waiting {
    /// For programs.
    #[serde(alias = "kind")]
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// When it is tried again.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
}

/// A step of a Dockerfile.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Counted from 1.
    pub number: u64,
    /// How many there are, where that is known.
    #[serde(default)]
    pub total: Option<u64>,
    /// The instruction.
    pub instruction: String,
    /// How long it took.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// A queued build's place.
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    /// Counted from 1.
    pub position: Option<u64>,
    /// Whether that is an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// When it will probably be done.
    #[serde(default)]
    pub eta: Option<Eta>,
    /// What it waits for.
    #[serde(default)]
    pub waiting_for: Option<Waiting>,
}

/// How long something will take: half of all times, and nine of ten, it took no longer.
#[derive(Debug, Clone, Deserialize)]
pub struct Eta {
    /// In seconds.
    pub p50_seconds: f64,
    /// In seconds.
    pub p90_seconds: f64,
}

/// What was asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct Spec {
    /// Where the context comes from: one field, named after the kind of source.
    pub source: BTreeMap<String, BTreeMap<String, Value>>,
    /// The Dockerfile's path.
    pub dockerfile: String,
    /// Where the image is pushed.
    pub destinations: Vec<String>,
    /// The stage to build.
    #[serde(default)]
    pub target: Option<String>,
    /// The platform.
    #[serde(default)]
    pub platform: Option<String>,
}

/// Why a build or an attempt failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// For programs.
    pub reason: String,
    /// Whose matter it is.
    pub class: String,
    /// For people.
    pub message: String,
    /// The end of the log.
    pub log_snippet: Option<String>,
}

/// One run of a build.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// Counted from 1.
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
}

/// A page of builds.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// Newest first.
    pub builds: Vec<Build>,
    /// Leads to older ones.
    pub next_cursor: Option<String>,
}

/// Something that happened to a build.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Grows from event to event.
    pub id: i64,
    /// The state that was reached.
    pub state: State,
    /// What made it happen.
    #[serde(default)]
    pub cause: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Event {
    /// Reads what the service wrote.
    pub fn read(text: &str) -> Result<Self, ClientError> {
        serde_json::from_str(text).map_err(|error| ClientError::Foreign {
            status: 200,
            detail: format!("an event cannot be read: {error}"),
        })
    }
}

/// The events of a build, oldest first. Each is kept as it was written, too.
#[derive(Debug, Clone, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Box<serde_json::value::RawValue>>,
}

/// An uploaded context.
#[derive(Debug, Clone, Deserialize)]
pub struct Context {
    /// Its identifier.
    pub id: ContextId,
    /// The archive's size in bytes.
    pub size: u64,
}

/// The queue as a whole.
#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    /// Builds that wait.
    pub queued: u64,
    /// Builds that hold a slot.
    pub running: u64,
    /// Slots, where they are known.
    pub slots: Option<u64>,
    /// How long the oldest build has waited.
    pub oldest_queued_seconds: Option<f64>,
    /// The projects that have any.
    pub projects: Vec<ProjectQueue>,
    /// Whether there are more projects.
    #[serde(default)]
    pub more_projects: bool,
}

/// One project's part of the queue.
#[derive(Debug, Clone, Deserialize)]
pub struct ProjectQueue {
    /// Its name.
    pub project: String,
    /// Builds that wait.
    pub queued: u64,
    /// Builds that hold a slot.
    pub running: u64,
    /// Slots, where they are known.
    pub slots: Option<u64>,
    /// How long the oldest build has waited.
    pub oldest_queued_seconds: Option<f64>,
}
