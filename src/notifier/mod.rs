//! Sends notifications to webhook endpoints and commit statuses to git hosts: delivers the outbox over HTTP.
//!
//! Every replica sends. A claim limits the concurrent delivery attempts to one target, so that a slow one
//! delays no other; the result of a delivery attempt is recorded before the next one of the same build and
//! target begins.

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

/// Longest time that a delivery attempt may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Time after which a claimed notification is due again if no result was recorded.
const LEASE: Duration = Duration::from_secs(60);
/// Number of concurrent delivery attempts to one target, over all replicas.
const PER_TARGET: u32 = 4;
/// Number of concurrent delivery attempts of one process.
const AT_ONCE: u32 = 256;
/// Time for which a webhook endpoint may accept nothing before it is disabled.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);
/// Shortest time between two reads of the outbox: changes in between are read together.
const BREATH: Duration = Duration::from_millis(50);
/// Time between two reads while the database does not answer, and between two tries to record a result.
const OUTAGE: Duration = Duration::from_secs(1);

/// Options of the notifier.
#[derive(Clone, Default)]
pub struct Options {
    /// Addresses that may be called.
    pub reachable: Reachable,
    /// URL at which people reach this service: links to builds begin with it.
    pub external_url: Option<url::Url>,
    /// Keys for the secrets in the database; without them nothing can be signed.
    pub keyring: Option<Arc<Keyring>>,
    /// The operator's tokens for git hosts.
    pub tokens: TokenFiles,
}

/// Sends the notifications in the outbox. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    store: Store,
    http: reqwest::Client,
    options: Arc<Options>,
    clock: Arc<dyn Clock>,
    slots: Arc<Semaphore>,
    /// Signal that a delivery attempt has ended: another notification may be due.
    ended: Arc<Notify>,
}

/// Error in the creation of the HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct ClientError(#[from] reqwest::Error);

impl Notifier {
    /// Creates a notifier; [`Notifier::run`] starts it.
    ///
    /// # Errors
    /// When the machine has no certificates by which to check others.
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

    /// Sends until `soft` is cancelled, then finishes the delivery attempts in flight, until `hard` at the
    /// latest. A notification whose delivery attempt is cut off is sent once more after its claim expires.
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

    /// Sends all notifications that are due now and waits for the results. Returns the number of delivery
    /// attempts.
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

    /// Starts to send the notifications that are due, no more than there are free permits. Returns their
    /// number.
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
            // No other task takes permits, so there is one for each notification.
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

    /// Makes one delivery attempt and records its result. If the database does not answer, the record is
    /// tried again for as long as the claim lasts.
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
