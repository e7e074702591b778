//! Tracks if the launcher's backend (the Kubernetes API server or the container engine) answers: while it
//! does not, builds wait in the queue.

use tokio::sync::watch;

/// Counter of unanswered calls since the last successful launch.
#[derive(Debug, Default)]
pub(super) struct Gate(watch::Sender<u32>);

impl Gate {
    /// Records a successful launch.
    pub(super) fn open(&self) {
        self.0.send_if_modified(|failures| std::mem::take(failures) > 0);
    }

    /// Records that the backend did not answer.
    pub(super) fn trip(&self) {
        self.0.send_if_modified(|failures| {
            *failures = failures.saturating_add(1);
            *failures == 1
        });
    }

    /// Returns the number of unanswered calls in a row; 0 while the backend answers.
    pub(super) fn failures(&self) -> u32 {
        *self.0.borrow()
    }

    /// Returns a receiver that is notified when the backend stops or resumes answering.
    pub(super) fn watch(&self) -> watch::Receiver<u32> {
        self.0.subscribe()
    }
}
