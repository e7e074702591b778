//! Whether the launcher's other side takes launches: while it does not answer, builds wait in the queue.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the refusals since the last launch that went well.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU32);

impl Gate {
    /// A launch went well.
    pub(super) fn open(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The other side did not answer.
    pub(super) fn trip(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it did not answer in a row; 0 when it does.
    pub(super) fn failures(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
