//! Tells endpoints and git hosts of builds: empties the outbox over HTTP.
//!
//! Every replica does. A claim bounds what one target gets at once, so that a slow one holds up nobody else; what came of
//! a try is recorded before the next one of the same build and target begins.

mod body;
mod client;
mod guard;
mod schedule;
mod sign;
mod status;
mod tokens;
mod tries;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::tokens::{TokenFile, TokenFiles};
use crate::{
    domain::{Clock, inside::Reachable, keyring::Keyring},
    store::{ClaimLimits, Due, Store, StoreError, TryOutcome},
};

/// How long a try may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// After which time a notification is tried by another, when nothing was recorded of a try.
const LEASE: Duration = Duration::from_secs(60);
/// Tries of one target at once, over all replicas.
const PER_TARGET: u32 = 4;
/// Tries of one process at once.
const AT_ONCE: u32 = 256;
/// How long an endpoint may take nothing before it is disabled.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);
/// Between two looks at the outbox, at the least: what changes meanwhile is found together.
const BREATH: Duration = Duration::from_millis(50);
/// Between two looks while the database does not answer, and two tries to record something.
const OUTAGE: Duration = Duration::from_secs(1);

/// How notifications are sent.
#[derive(Clone, Default)]
pub struct Options {
    /// Where they may go.
    pub reachable: Reachable,
    /// Where people reach this service: what links to builds begin with.
    pub external_url: Option<url::Url>,
    /// What opens the secrets in the database; without it nothing can be signed.
    pub keyring: Option<Arc<Keyring>>,
    /// The operator's tokens for git hosts.
    pub tokens: TokenFiles,
}

/// Sends what the outbox holds. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    store: Store,
    http: reqwest::Client,
    options: Arc<Options>,
    clock: Arc<dyn Clock>,
    slots: Arc<Semaphore>,
    /// A try has ended: something else may be due.
    ended: Arc<Notify>,
}

/// The client for HTTP cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct ClientError(#[from] reqwest::Error);

impl Notifier {
    /// A notifier over these parts; it does nothing yet.
    ///
    /// # Errors
    /// When the machine has no certificates to check others by.
    pub fn new(store: Store, options: Options, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let http = client::guarded(guard::Guard::new(options.reachable.clone()))?;
        Ok(Self::over(store, http, options, clock))
    }

    fn over(store: Store, http: reqwest::Client, options: Options, clock: Arc<dyn Clock>) -> Self {
        metrics::describe_counter!(
            "slipway_notification_tries_total",
            "Tries to notify, by what came of them"
        );
        Self {
            store,
            http,
            options: Arc::new(options),
            clock,
            slots: Arc::new(Semaphore::new(AT_ONCE as usize)),
            ended: Arc::default(),
        }
    }

    /// Sends until `soft`; then what was begun is finished, until `hard` at the latest. What is cut off is sent once
    /// more by another.
    pub async fn run(self, soft: CancellationToken, hard: CancellationToken) {
        let tries = TaskTracker::new();
        let mut changed = self.store.watch_builds();
        let mut silent = true;
        while !soft.is_cancelled() {
            let pause = match self.begin(&tries).await {
                Ok(_) => {
                    silent = true;
                    BREATH
                }
                Err(error) => {
                    if silent {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the outbox cannot be read; trying again"
                        );
                    }
                    silent = false;
                    OUTAGE
                }
            };
            let rest = async {
                tokio::time::sleep(pause).await;
                tokio::select! {
                    () = changed.wait() => {}
                    () = self.ended.notified() => {}
                }
            };
            soft.run_until_cancelled(rest).await;
        }
        tries.close();
        tokio::select! {
            () = tries.wait() => {}
            () = hard.cancelled() => {}
        }
    }

    /// Sends all that is due now, and waits for what comes of it: how many were tried.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let tries = TaskTracker::new();
        let begun = self.begin(&tries).await?;
        tries.close();
        tries.wait().await;
        Ok(begun)
    }

    /// Begins to send what is due, no more than there is room for.
    async fn begin(&self, tries: &TaskTracker) -> Result<usize, StoreError> {
        let room = self.slots.available_permits();
        let limits = ClaimLimits {
            per_target: PER_TARGET,
            most: u32::try_from(room).unwrap_or(AT_ONCE),
            lease: LEASE,
        };
        let due = self.store.claim_notifications(limits).await?;
        let begun = due.len();
        for due in due {
            // Nobody else takes from the room that was seen: there is a permit for each.
            let permit = Arc::clone(&self.slots).acquire_owned().await;
            let notifier = self.clone();
            tries.spawn(async move {
                notifier.notify(due).await;
                drop(permit);
                notifier.ended.notify_one();
            });
        }
        Ok(begun)
    }

    /// One try, and its record. While the database does not take it, it is offered again as long as the claim lasts.
    async fn notify(&self, due: Due) {
        let begun = Instant::now();
        let (mut seen, outcome) = self.attempt(&due).await;
        seen.duration = begun.elapsed();
        let name = match outcome {
            TryOutcome::Delivered => "delivered",
            TryOutcome::Again(_) => "again",
            TryOutcome::GivenUp | TryOutcome::Unwanted => "given_up",
        };
        metrics::counter!("slipway_notification_tries_total", "outcome" => name).increment(1);
        loop {
            match self.store.record_try(&due, &seen, &outcome, PATIENCE).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::debug!(
                        notification.id = due.id,
                        "its claim had passed on when the try ended"
                    );
                    break;
                }
                Err(error) if begun.elapsed() + OUTAGE >= LEASE => {
                    tracing::warn!(
                        notification.id = due.id,
                        error = &error as &dyn std::error::Error,
                        "what came of a notification cannot be recorded: it is sent again"
                    );
                    break;
                }
                Err(_) => tokio::time::sleep(OUTAGE).await,
            }
        }
        if let Some(error) = &seen.error {
            tracing::info!(
                notification.id = due.id,
                kind = due.kind.as_str(),
                attempt = due.round,
                outcome = name,
                reason = error,
                "a notification was not taken"
            );
        }
    }
}
