//! Removes what has been kept for its time, and moves old logs into the archive.
//!
//! One replica sweeps at a time, and a sweep looks at what there is: it takes no notice of how far an earlier one came.
//! Killing the process between any two lines costs time, and nothing that should stay. It pauses after each batch, for
//! longer than the batch took, so that others get on with their work and autovacuum keeps up.

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

/// How often the holder makes sure that it has the role.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// The first sweep of a process begins at the latest then.
const FIRST: Duration = Duration::from_secs(60);
/// The shortest pause between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// How long things are kept; `None`: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Builds with all that belongs to them, from their ends on.
    pub builds: Option<Duration>,
    /// Logs, from the ends of their builds on.
    pub logs: Option<Duration>,
    /// Events, from the ends of their builds on.
    pub events: Option<Duration>,
    /// Uploaded contexts, from the upload on, and from the end of the last build that used it.
    pub contexts: Option<Duration>,
    /// Idempotency keys, from their first use on.
    pub idempotency_keys: Option<Duration>,
    /// What endpoints and git hosts were told, from then on.
    pub notifications: Option<Duration>,
    /// Deliveries to triggers, from their arrival on.
    pub deliveries: Option<Duration>,
    /// When logs move to the archive, from the ends of their builds on.
    pub archive_after: Duration,
    /// Between two sweeps.
    pub interval: Duration,
}

/// Why a sweep did not do all that it could.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A storage.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Logs are in an archive that the settings do not name.
    #[error("logs are in an archive, and --log-archive names none")]
    NoArchive,
}

/// What removes old rows and objects. Cheap to clone.
#[derive(Clone)]
pub struct Retention {
    store: Store,
    contexts: Blobs,
    archive: Option<LogArchive>,
    options: Options,
    clock: Arc<dyn Clock>,
}

impl Retention {
    /// Retention over these parts; it does nothing yet.
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
            // Any moment of the first interval, so that replicas that start together do not sweep together.
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

    /// Sweeps once. `None`: another replica does.
    ///
    /// # Errors
    /// When the role cannot be asked for. What goes wrong with one kind does not keep the others from being swept:
    /// [`Swept`] tells of it.
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
