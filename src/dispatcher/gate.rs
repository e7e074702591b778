//! Whether the launcher's other side takes launches: while it does not answer, builds wait in the queue.

use tokio::sync::watch;

/// Counts the refusals since the last launch that went well.
#[derive(Debug, Default)]
pub(super) struct Gate(watch::Sender<u32>);

impl Gate {
    /// A launch went well.
    pub(super) fn open(&self) {
        self.0.send_if_modified(|failures| std::mem::take(failures) > 0);
    }

    /// The other side did not answer.
    pub(super) fn trip(&self) {
        self.0.send_if_modified(|failures| {
            *failures = failures.saturating_add(1);
            *failures == 1
        });
    }

    /// How often it did not answer in a row; 0 when it does.
    pub(super) fn failures(&self) -> u32 {
        *self.0.borrow()
    }

    /// Tells when it stops, or begins, to answer.
    pub(super) fn watch(&self) -> watch::Receiver<u32> {
        self.0.subscribe()
    }
}
