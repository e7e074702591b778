//! The history of a build: one row for each change of its state.

use jiff::Timestamp;

use super::{BuildId, Reason, State};

/// What happened to a build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildEvent {
    /// Grows over all builds in the order of commits within one build.
    pub id: i64,
    /// Which build.
    pub build: BuildId,
    /// What happened.
    pub kind: EventKind,
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
