//! Remembers when the launcher's backend last did not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time of the last call that the backend did not answer. During an outage no container starts, and a start
/// cannot be observed, so this time does not count towards a build's pending deadline.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Records that the backend does not answer now.
    pub(super) fn noticed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns the part of a wait that came after the last outage.
    pub(super) fn since(&self, waited: Duration) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(waited, |last| waited.min(last.elapsed()))
    }
}
