//! Follows the logs of attempts and stores them in batches, at their byte offsets.
//!
//! The observer follows the logs. It reads first how much is stored, so another process, or the same one
//! after a restart, continues where the last one stopped. Two at once do no harm, since the store keeps each
//! byte once.

mod batches;
mod copy;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use self::copy::{Copied, FollowError};
use super::{Dispatcher, backoff};
use crate::{
    domain::{AttemptSeen, BuildId, Sighting},
    launcher::LauncherError,
    store::StoreError,
};

/// Number of tries to read a log that breaks off.
const TRIES: u32 = 6;

/// Attempts whose logs are being followed, or are completely stored.
#[derive(Debug, Default)]
pub(super) struct Followers {
    attempts: Mutex<HashMap<(BuildId, String), Following>>,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Following {
    Now,
    Whole,
}

impl Followers {
    /// Ends the followers; each finishes its current write.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<(BuildId, String), Following>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: BuildId, attempt: &str) -> bool {
        match self.attempts().entry((id, attempt.to_owned())) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(Following::Now);
                true
            }
        }
    }

    fn end(&self, id: BuildId, attempt: &str, whole: bool) {
        let mut attempts = self.attempts();
        if whole {
            // Remembered so that the log is not read again at each observation. Entries are removed in bulk,
            // at the cost of one further read each.
            if attempts.len() > 10_000 {
                attempts.retain(|_, following| *following == Following::Now);
            }
            attempts.insert((id, attempt.to_owned()), Following::Whole);
        } else {
            attempts.remove(&(id, attempt.to_owned()));
        }
    }
}

impl Dispatcher {
    /// Returns true if a log of the build is being read now.
    pub(super) fn follows_logs_of(&self, id: BuildId) -> bool {
        let attempts = self.0.followers.attempts();
        attempts
            .iter()
            .any(|((build, _), following)| *build == id && *following == Following::Now)
    }

    /// Starts to follow every attempt that has a log and is not followed yet.
    pub(super) fn follow_logs(&self, id: BuildId, sighting: &Sighting) {
        for attempt in &sighting.attempts {
            let ended = ended(attempt);
            let has_log = attempt.running || (ended && attempt.started_at.is_some());
            if has_log && self.0.followers.begin(id, &attempt.name) {
                let (this, attempt) = (self.clone(), attempt.name.clone());
                self.0.tasks.spawn(async move {
                    let whole = this.follow(id, &attempt, ended).await;
                    this.0.followers.end(id, &attempt, whole);
                    // The end of a log is the first sign of the end of the build.
                    this.nudge(id);
                });
            }
        }
    }

    /// Follows a log. Returns true if it is completely stored now.
    async fn follow(&self, id: BuildId, attempt: &str, ended: bool) -> bool {
        for tries in 0..TRIES {
            match self.copy_log(id, attempt, !ended).await {
                Ok(Copied::Whole) if ended => {}
                // The container still ran when this began: the next observation shows if it has ended.
                Ok(Copied::Whole) => return false,
                Ok(Copied::Stopped) => return false,
                Err(FollowError::Launcher(LauncherError::NotFound(_))) if ended => {}
                Err(error) => {
                    tracing::debug!(build.id = %id, attempt, error = &error as &dyn std::error::Error, "a log broke off; it is asked for again");
                    tokio::select! {
                        () = tokio::time::sleep(backoff::delay(tries)) => continue,
                        () = self.0.followers.stop.cancelled() => return false,
                    }
                }
            }
            if self.complete(id, attempt).await.is_ok() {
                return true;
            }
        }
        tracing::warn!(build.id = %id, attempt, "a log could not be stored to its end");
        false
    }

    /// Marks the logs of a build as complete when none of its pods is left. If one is still being written,
    /// this does nothing: the end of that write leads here again.
    pub(super) async fn no_more_logs(&self, id: BuildId) -> Result<(), StoreError> {
        if self.follows_logs_of(id) {
            return Ok(());
        }
        self.store().complete_logs(id).await
    }

    async fn complete(&self, id: BuildId, attempt: &str) -> Result<(), StoreError> {
        self.store().end_steps(id, attempt).await?;
        self.store().complete_log(id, attempt).await
    }
}

fn ended(attempt: &AttemptSeen) -> bool {
    !attempt.running && (attempt.succeeded || attempt.failure.is_some())
}
