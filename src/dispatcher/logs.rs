//! Follows the logs of attempts and stores them, in batches, at their byte offsets.
//!
//! A log is followed by whoever observes. What is stored is asked for first, so another process, or the same one
//! after a restart, goes on where the last one stopped; two at once do no harm, since the store keeps each byte once.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, steps::Steps};
use crate::{
    domain::{AttemptSeen, BuildId, Sighting},
    launcher::LauncherError,
    store::StoreError,
};

/// Bytes that are written at once.
const BATCH_BYTES: usize = 64 * 1024;
/// How long bytes wait to be written together with later ones.
const BATCH_TIME: Duration = Duration::from_millis(250);
/// How often a log that breaks off is asked for again.
const TRIES: u32 = 6;

/// The attempts whose logs are being followed, or are stored whole.
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
    /// Lets the followers write what they have, and end.
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
            // Remembered so that the log is not read again at each look; forgotten in bulk, at the cost of one look.
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
    /// Whether a log of the build is being read now.
    pub(super) fn follows_logs_of(&self, id: BuildId) -> bool {
        let attempts = self.0.followers.attempts();
        attempts
            .iter()
            .any(|((build, _), following)| *build == id && *following == Following::Now)
    }

    /// Begins to follow every attempt that has a log and is not followed yet.
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

    /// Whether the log is stored whole now.
    async fn follow(&self, id: BuildId, attempt: &str, ended: bool) -> bool {
        for tries in 0..TRIES {
            match self.copy_log(id, attempt, !ended).await {
                Ok(Copied::Whole) if ended => {}
                // Its container still ran when this began: the next look tells whether that was the end.
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

    async fn complete(&self, id: BuildId, attempt: &str) -> Result<(), StoreError> {
        self.store().end_steps(id, attempt).await?;
        self.store().complete_log(id, attempt).await
    }

    async fn copy_log(&self, id: BuildId, attempt: &str, live: bool) -> Result<Copied, FollowError> {
        let mut at = self.store().log_length(id, attempt).await?;
        let max = self.options().max_log_bytes;
        if at >= max {
            return Ok(Copied::Whole);
        }
        let stream = self.launcher().log(id, attempt, at).await?;
        let mut batches = Batches::new(stream);
        let mut steps = Steps::resume(self, id, attempt, at, live).await?;
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch?,
                () = self.0.followers.stop.cancelled() => return Ok(Copied::Stopped),
            };
            let Some(mut batch) = batch else {
                return Ok(Copied::Whole);
            };
            let left = usize::try_from(max - at).unwrap_or(usize::MAX);
            let full = batch.len() >= left;
            if full {
                batch.truncate(left);
                batch.extend_from_slice(
                    format!("\n[slipway: the log is longer than {max} bytes; the rest is not kept]\n")
                        .as_bytes(),
                );
            }
            if !self.store().append_log(id, attempt, at, &batch).await? {
                // Somebody else wrote here, or the attempt is not known yet: begin again from what is stored.
                return Err(FollowError::OutOfStep);
            }
            at += batch.len() as u64;
            steps.stored(&batch).await?;
            metrics::counter!("slipway_log_bytes_total").increment(batch.len() as u64);
            if full {
                return Ok(Copied::Whole);
            }
        }
    }
}

fn ended(attempt: &AttemptSeen) -> bool {
    !attempt.running && (attempt.succeeded || attempt.failure.is_some())
}

enum Copied {
    /// To where the container's log ends.
    Whole,
    /// The process is stopping.
    Stopped,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the launcher has no log to give")]
    Launcher(#[from] LauncherError),
    #[error("the log cannot be stored")]
    Store(#[from] StoreError),
    #[error("the log's offset does not fit what is stored")]
    OutOfStep,
}

/// Puts pieces of a log together until there is enough to write, or enough time has passed.
struct Batches {
    stream: BoxStream<'static, Result<Bytes, LauncherError>>,
    broken: Option<LauncherError>,
    over: bool,
}

impl Batches {
    fn new(stream: BoxStream<'static, Result<Bytes, LauncherError>>) -> Self {
        Self {
            stream,
            broken: None,
            over: false,
        }
    }

    /// The next batch; `None` at the log's end. What came before a break is handed out first.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, LauncherError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let mut batch = Vec::new();
        if self.over {
            return Ok(None);
        }
        let mut deadline = None;
        while batch.len() < BATCH_BYTES {
            let piece = match deadline {
                None => self.stream.next().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, self.stream.next()).await {
                    Ok(piece) => piece,
                    Err(_) => break,
                },
            };
            match piece {
                Some(Ok(piece)) => {
                    batch.extend_from_slice(&piece);
                    deadline.get_or_insert_with(|| tokio::time::Instant::now() + BATCH_TIME);
                }
                Some(Err(error)) if batch.is_empty() => return Err(error),
                Some(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                None => {
                    self.over = true;
                    break;
                }
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
