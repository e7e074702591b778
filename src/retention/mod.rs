//! Removes rows and objects whose retention time is over, and moves old logs into the archive.
//!
//! One replica sweeps at a time, and a sweep reads the current state: it does not depend on how far an
//! earlier one came. Killing the process between any two lines costs time, and nothing that must be kept. A
//! sweep pauses after each batch, for longer than the batch took, so that other work proceeds and autovacuum
//! keeps up.

mod archive;
mod contexts;
mod logs;
mod measured;
mod sweep;

use std::{sync::Arc, time::Duration};

use rand::Rng;
use tokio_util::sync::CancellationToken;

pub use self::sweep::Swept;
use crate::{
    blobs::{BlobError, Blobs, LogArchive},
    domain::Clock,
    store::{RoleLock, Store, StoreError},
};

/// Interval at which the holder checks that it still has the role.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// Latest start of a process's first sweep.
const FIRST: Duration = Duration::from_secs(60);
/// Shortest pause between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// Retention times; `None` means for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Retention time of builds with all that belongs to them, from their ends on.
    pub builds: Option<Duration>,
    /// Retention time of logs, from the ends of their builds on.
    pub logs: Option<Duration>,
    /// Retention time of events, from the ends of their builds on.
    pub events: Option<Duration>,
    /// Retention time of uploaded contexts, from the upload on, and from the end of the last build that used
    /// it.
    pub contexts: Option<Duration>,
    /// Retention time of idempotency keys, from their first use on.
    pub idempotency_keys: Option<Duration>,
    /// Retention time of notifications and commit statuses, from their creation on.
    pub notifications: Option<Duration>,
    /// Retention time of deliveries to triggers, from their arrival on.
    pub deliveries: Option<Duration>,
    /// Time after which logs move to the archive, from the ends of their builds on.
    pub archive_after: Duration,
    /// Time between two sweeps.
    pub interval: Duration,
}

/// Reason why a sweep was incomplete.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A storage failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Logs are in an archive that the settings do not name.
    #[error("logs are in an archive, and --log-archive names none")]
    NoArchive,
}

/// Removes old rows and objects. Cheap to clone.
#[derive(Clone)]
pub struct Retention {
    store: Store,
    contexts: Blobs,
    archive: Option<LogArchive>,
    options: Options,
    clock: Arc<dyn Clock>,
}

impl Retention {
    /// Creates the retention; [`Retention::run`] starts it.
    pub fn new(
        store: Store,
        contexts: Blobs,
        archive: Option<LogArchive>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        measured::describe();
        Self {
            store,
            contexts,
            archive,
            options,
            clock,
        }
    }

    /// Sweeps at intervals whenever no other replica does, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = self.options.interval.min(FIRST);
        loop {
            // Random, so that replicas that start together do not sweep together.
            let pause = rand::rng().random_range(wait / 2..=wait);
            if stop
                .run_until_cancelled(async {
                    tokio::time::sleep(pause).await;
                    self.sweep_if_alone().await;
                })
                .await
                .is_none()
            {
                return;
            }
            wait = self.options.interval;
        }
    }

    async fn sweep_if_alone(&self) {
        match self.sweep_once().await {
            Ok(Some(swept)) => swept.report(self.clock.now()),
            Ok(None) => tracing::debug!("another replica sweeps"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is old cannot be removed; it is tried again"
            ),
        }
    }

    /// Sweeps once; `None` if another replica has the role.
    ///
    /// # Errors
    /// When the role cannot be requested. An error in one kind does not prevent the sweep of the others:
    /// [`Swept`] reports it.
    pub async fn sweep_once(&self) -> Result<Option<Swept>, StoreError> {
        let Some(mut lock) = self.store.become_sweeper().await? else {
            return Ok(None);
        };
        let swept = tokio::select! {
            swept = self.sweep() => swept,
            () = lost(&mut lock) => Swept::cut_short(),
        };
        Ok(Some(swept))
    }
}

/// Resolves when the role is lost.
async fn lost(lock: &mut RoleLock) {
    while lock.held().await {
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}
