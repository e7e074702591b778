//! When the launcher's other side last did not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The last time that it was asked and did not answer. While it does not, no container starts and none is seen that
/// has started: what builds wait then is not held against them.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// It does not answer now.
    pub(super) fn noticed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How much of a wait was not during an outage, nor before one.
    pub(super) fn since(&self, waited: Duration) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(waited, |last| waited.min(last.elapsed()))
    }
}
