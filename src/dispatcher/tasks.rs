//! Background tasks beside the loops: launches and log copies.

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tasks of one dispatcher. A panic in any of them is reported.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    panicked: CancellationToken,
}

/// Cancels its token when a panic drops it.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

impl Tasks {
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm(self.panicked.clone());
        // Boxed, since spawning moves a future several times, and these are large.
        self.tracker.spawn(Box::pin(async move {
            let _alarm = alarm;
            work.await;
        }));
    }

    /// Waits until no task is left.
    pub(super) async fn all_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Resolves when a task has panicked.
    pub(super) async fn panic(&self) {
        self.panicked.cancelled().await;
    }
}
