//! Stops the process: a soft signal first, so that work in progress is completed, then a hard one.

use std::{future::Future, time::Duration};

use tokio::{signal::unix, sync::mpsc, task::JoinError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Cancellation tokens that every background task observes.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Cancelled first: begin nothing new, and complete work in progress.
    pub soft: CancellationToken,
    /// Cancelled last: stop at once.
    pub hard: CancellationToken,
}

/// Error: a background task panicked, or ended before the shutdown; the process must not run without it.
#[derive(Debug, thiserror::Error)]
#[error("the background task {task} ended by itself{}", if *panicked { " (panicked)" } else { "" })]
pub struct TaskDied {
    /// Name of the task.
    pub task: &'static str,
    /// `true` if the task panicked.
    pub panicked: bool,
}

/// Owner of the background tasks, which it also ends.
pub struct Shutdown {
    tokens: Tokens,
    tracker: TaskTracker,
    died_tx: mpsc::Sender<TaskDied>,
    died: mpsc::Receiver<TaskDied>,
    grace: Duration,
}

impl Shutdown {
    /// Creates a shutdown with the time `grace` between the soft and the hard signal.
    pub fn new(grace: Duration) -> Self {
        let (died_tx, died) = mpsc::channel(1);
        Self {
            tokens: Tokens::default(),
            tracker: TaskTracker::new(),
            died_tx,
            died,
            grace,
        }
    }

    /// Returns the tokens for a task.
    pub fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }

    /// Spawns a task that must run until the soft signal.
    pub fn spawn<F>(&self, task: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let soft = self.tokens.soft.clone();
        let died = self.died_tx.clone();
        let running = tokio::spawn(self.tracker.track_future(future));
        tokio::spawn(async move {
            let ended: Result<(), JoinError> = running.await;
            let panicked = ended.is_err();
            if panicked || !soft.is_cancelled() {
                // A full channel means that another task's death ends the process already.
                let _ = died.try_send(TaskDied { task, panicked });
            }
        });
    }

    /// Waits for SIGTERM, SIGINT or the death of a task, then stops everything.
    ///
    /// # Errors
    /// [`TaskDied`], if a task died before the shutdown or panicked during it.
    pub async fn run(mut self) -> Result<(), TaskDied> {
        let dead = tokio::select! {
            () = signalled() => None,
            dead = self.died.recv() => dead,
        };
        match &dead {
            None => tracing::info!(
                grace_s = self.grace.as_secs(),
                "stopping: finishing what was begun"
            ),
            Some(dead) => tracing::error!(
                task = dead.task,
                panicked = dead.panicked,
                "stopping: a task died"
            ),
        }
        self.tokens.soft.cancel();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = tokio::time::sleep(self.grace) => tracing::warn!("the grace period is over: stopping now"),
            () = signalled() => tracing::warn!("asked again: stopping now"),
        }
        self.tokens.hard.cancel();
        let last = tokio::time::timeout(Duration::from_secs(2), self.tracker.wait()).await;
        if last.is_err() {
            tracing::warn!(
                tasks = self.tracker.len(),
                "tasks did not stop in time and are dropped"
            );
        }
        // A task may have panicked while it was stopping.
        let dead = dead.or_else(|| self.died.try_recv().ok());
        dead.map_or(Ok(()), Err)
    }
}

/// Resolves at the next SIGTERM or SIGINT.
async fn signalled() {
    let mut term = unix::signal(unix::SignalKind::terminate()).expect("SIGTERM can be listened for");
    let mut int = unix::signal(unix::SignalKind::interrupt()).expect("SIGINT can be listened for");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_stops_the_others_with_a_failure() {
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let soft = shutdown.tokens().soft;
        shutdown.spawn("steady", async move { soft.cancelled().await });
        shutdown.spawn("brief", async {});
        let died = shutdown.run().await.expect_err("the brief task died");
        assert_eq!((died.task, died.panicked), ("brief", false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_from_an_early_end() {
        let shutdown = Shutdown::new(Duration::from_secs(5));
        shutdown.spawn("clumsy", async { panic!("on purpose") });
        let died = shutdown.run().await.expect_err("the task panicked");
        assert!(died.panicked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_the_soft_signal_gets_the_hard_one() {
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let hard = shutdown.tokens().hard;
        let (told, was_told) = tokio::sync::oneshot::channel();
        shutdown.spawn("stubborn", async move {
            hard.cancelled().await;
            let _ = told.send(());
        });
        shutdown.spawn("brief", async {});
        shutdown.run().await.expect_err("the brief task died");
        was_told.await.expect("the stubborn task saw the hard signal");
    }
}
