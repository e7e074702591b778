//! Defines the service's answers, as far as this program reads them. Unknown fields are ignored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::ClientError;
use crate::domain::{AttemptState, BuildId, ContextId, State};

/// A build.
#[derive(Debug, Clone, Deserialize)]
pub struct Build {
    /// Identifier.
    pub id: BuildId,
    /// Project that owns the build.
    pub project: String,
    /// State.
    pub state: State,
    /// Phase of a running build.
    pub phase: Option<String>,
    /// Cause of the wait in the phase `pending`.
    pub waiting: Option<Waiting>,
    /// Present step, while the Dockerfile is built.
    #[serde(default)]
    pub step: Option<Step>,
    /// Steps of the latest attempt.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Place in the queue, for a queued build.
    #[serde(default)]
    pub queue: Option<Place>,
    /// The request.
    pub spec: Spec,
    /// The build that this one repeats.
    pub rebuild_of: Option<BuildId>,
    /// The newer build that replaces, or replaced, this one.
    #[serde(default)]
    pub superseded_by: Option<BuildId>,
    /// Time at which the build was accepted.
    pub created_at: Timestamp,
    /// Time at which its first container started.
    pub started_at: Option<Timestamp>,
    /// Time at which it reached a final state.
    pub finished_at: Option<Timestamp>,
    /// Number of failed attempts.
    pub retries: u32,
    /// The pushed image's digest.
    pub digest: Option<String>,
    /// Reason of the failure.
    pub failure: Option<Failure>,
    /// Attempts, oldest first; absent in lists.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// Cause of a wait.
#[derive(Debug, Clone, Deserialize)]
pub struct Waiting {
    /// The cause, for programs.
    #[serde(alias = "kind")]
    pub reason: Option<String>,
    /// The cause, in words.
    pub message: Option<String>,
    /// Time of the next try.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
}

/// A step of a Dockerfile.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Number, counted from 1.
    pub number: u64,
    /// Number of steps, if it is known.
    #[serde(default)]
    pub total: Option<u64>,
    /// The instruction.
    pub instruction: String,
    /// Duration in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// Place of a queued build.
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    /// Position, counted from 1.
    pub position: Option<u64>,
    /// `true` if the position is an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// Estimated time until the build is done.
    #[serde(default)]
    pub eta: Option<Eta>,
    /// Cause of the wait.
    #[serde(default)]
    pub waiting_for: Option<Waiting>,
}

/// Quantiles of a duration, by the durations of earlier builds.
#[derive(Debug, Clone, Deserialize)]
pub struct Eta {
    /// Median, in seconds.
    pub p50_seconds: f64,
    /// 90th percentile, in seconds.
    pub p90_seconds: f64,
}

/// Request of a build.
#[derive(Debug, Clone, Deserialize)]
pub struct Spec {
    /// Source of the context: one field, named after the kind of source.
    pub source: BTreeMap<String, BTreeMap<String, Value>>,
    /// The Dockerfile's path.
    pub dockerfile: String,
    /// Destinations of the image.
    pub destinations: Vec<String>,
    /// The stage to build.
    #[serde(default)]
    pub target: Option<String>,
    /// The platform.
    #[serde(default)]
    pub platform: Option<String>,
}

/// Reason why a build or an attempt failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// The reason, for programs.
    pub reason: String,
    /// Class of the failure, such as `user` or `infrastructure`.
    pub class: String,
    /// The reason, for people.
    pub message: String,
    /// The end of the log.
    pub log_snippet: Option<String>,
}

/// One run of a build's Job.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// Number, counted from 1.
    pub number: u32,
    /// The pod's or container's name.
    pub name: String,
    /// State.
    pub state: AttemptState,
    /// The node that it ran on.
    pub node: Option<String>,
    /// Time at which its container started.
    pub started_at: Option<Timestamp>,
    /// Time at which its container ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Reason of the failure.
    pub failure: Option<Failure>,
}

/// A page of builds.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// Builds, newest first.
    pub builds: Vec<Build>,
    /// Cursor of the next page, with older builds.
    pub next_cursor: Option<String>,
}

/// An event of a build.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Number that increases from event to event.
    pub id: i64,
    /// The state that was reached.
    pub state: State,
    /// Cause of the event.
    #[serde(default)]
    pub cause: Option<String>,
    /// Reason, for programs.
    pub reason: Option<String>,
    /// Message, for people.
    pub message: Option<String>,
    /// Time of the event.
    pub at: Timestamp,
}

impl Event {
    /// Parses an event of the service.
    pub fn read(text: &str) -> Result<Self, ClientError> {
        serde_json::from_str(text).map_err(|error| ClientError::Foreign {
            status: 200,
            detail: format!("an event cannot be read: {error}"),
        })
    }
}

/// Events of a build, oldest first, each as the text that the service wrote.
#[derive(Debug, Clone, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Box<serde_json::value::RawValue>>,
}

/// An uploaded context.
#[derive(Debug, Clone, Deserialize)]
pub struct Context {
    /// Identifier.
    pub id: ContextId,
    /// The archive's size in bytes.
    pub size: u64,
}

/// State of the queue.
#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    /// Number of queued builds.
    pub queued: u64,
    /// Builds that hold a slot.
    pub running: u64,
    /// Number of slots, if it is known.
    pub slots: Option<u64>,
    /// Time that the oldest queued build has waited, in seconds.
    pub oldest_queued_seconds: Option<f64>,
    /// Projects with queued or running builds.
    pub projects: Vec<ProjectQueue>,
    /// `true` if there are more projects.
    #[serde(default)]
    pub more_projects: bool,
}

/// One project's part of the queue.
#[derive(Debug, Clone, Deserialize)]
pub struct ProjectQueue {
    /// Name of the project.
    pub project: String,
    /// Number of queued builds.
    pub queued: u64,
    /// Builds that hold a slot.
    pub running: u64,
    /// Number of slots, if it is known.
    pub slots: Option<u64>,
    /// Time that the oldest queued build has waited, in seconds.
    pub oldest_queued_seconds: Option<f64>,
}
