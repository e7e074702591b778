//! One sweep: each kind in turn, batch by batch.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{PAUSE, Retention, SweepError};
use crate::store::{Batch, StoreError};

/// Result of one sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Finished builds that were removed.
    pub builds: u64,
    /// Logs that were removed.
    pub logs: u64,
    /// Events that were removed before their builds.
    pub events: u64,
    /// Contexts that were removed.
    pub contexts: u64,
    /// Objects of contexts that were removed from the storage, those of incomplete uploads included.
    pub objects: u64,
    /// Idempotency keys that were removed before their builds.
    pub idempotency_keys: u64,
    /// Notifications that were removed.
    pub notifications: u64,
    /// Deliveries to triggers that were removed.
    pub deliveries: u64,
    /// Logs that were moved to the archive.
    pub archived: u64,
    /// Kinds that were not swept to the end.
    pub failed: u32,
    /// Duration of the sweep.
    pub took: Duration,
}

impl Swept {
    /// Returns the result of a sweep that ended because the role was lost.
    pub(super) fn cut_short() -> Self {
        Self {
            failed: 1,
            ..Self::default()
        }
    }

    /// Reports the result in the log and in the metrics.
    pub(super) fn report(&self, now: Timestamp) {
        for (kind, removed) in [
            ("build", self.builds),
            ("log", self.logs),
            ("event", self.events),
            ("context", self.contexts),
            ("object", self.objects),
            ("idempotency_key", self.idempotency_keys),
            ("notification", self.notifications),
            ("delivery", self.deliveries),
        ] {
            metrics::counter!("slipway_retention_removed_total", "kind" => kind).increment(removed);
        }
        metrics::counter!("slipway_logs_archived_total").increment(self.archived);
        metrics::histogram!("slipway_retention_sweep_seconds").record(self.took.as_secs_f64());
        if self.failed == 0 {
            #[expect(clippy::cast_precision_loss, reason = "whole seconds are enough")]
            metrics::gauge!("slipway_retention_last_success_timestamp_seconds").set(now.as_second() as f64);
        }
        tracing::info!(
            builds = self.builds,
            logs = self.logs,
            events = self.events,
            contexts = self.contexts,
            objects = self.objects,
            idempotency_keys = self.idempotency_keys,
            notifications = self.notifications,
            deliveries = self.deliveries,
            archived = self.archived,
            failed = self.failed,
            duration_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "removed what was old"
        );
    }
}

impl Retention {
    /// Sweeps every kind. Logs are removed before their builds, because a build with a log is kept.
    pub(super) async fn sweep(&self) -> Swept {
        let begun = Instant::now();
        let mut swept = Swept::default();
        let keep = &self.options;
        let mut failed = 0;
        let mut note = |kind: &str, done: Result<u64, SweepError>| {
            done.unwrap_or_else(|error| {
                tracing::warn!(
                    kind,
                    error = &error as &dyn Error,
                    "a sweep was not finished; the next one goes on"
                );
                failed += 1;
                0
            })
        };
        swept.contexts = note("context", self.sweep_contexts(keep.contexts).await);
        swept.objects = note("object", self.sweep_objects().await);
        swept.idempotency_keys = note("idempotency_key", self.sweep_keys(keep.idempotency_keys).await);
        swept.deliveries = note("delivery", self.sweep_deliveries(keep.deliveries).await);
        swept.logs = note("log", self.sweep_logs().await);
        swept.archived = note("archive", self.fill_archive().await);
        swept.events = note("event", self.sweep_events().await);
        swept.notifications = note("notification", self.sweep_notifications(keep.notifications).await);
        swept.builds = note("build", self.sweep_builds(keep.builds).await);
        swept.failed = failed;
        swept.took = begun.elapsed();
        swept
    }

    async fn sweep_contexts(&self, age: Option<Duration>) -> Result<u64, SweepError> {
        let Some(age) = age else { return Ok(0) };
        batches(Uuid::nil(), |after| self.store.remove_old_contexts(age, after)).await
    }

    async fn sweep_keys(&self, age: Option<Duration>) -> Result<u64, SweepError> {
        let Some(age) = age else { return Ok(0) };
        batches(Uuid::nil(), |after| self.store.remove_old_keys(age, after)).await
    }

    async fn sweep_deliveries(&self, age: Option<Duration>) -> Result<u64, SweepError> {
        let Some(age) = age else { return Ok(0) };
        batches(Uuid::nil(), |after| self.store.remove_old_deliveries(age, after)).await
    }

    async fn sweep_events(&self) -> Result<u64, SweepError> {
        let Some(age) = self.options.events else {
            return Ok(0);
        };
        // Events that are kept as long as their builds are removed with them.
        if self.options.builds.is_some_and(|builds| builds <= age) {
            return Ok(0);
        }
        batches((Uuid::nil(), 0), |after| self.store.remove_old_events(age, after)).await
    }

    async fn sweep_notifications(&self, age: Option<Duration>) -> Result<u64, SweepError> {
        let Some(age) = age else { return Ok(0) };
        batches(Uuid::nil(), |after| {
            self.store.remove_old_commit_statuses(age, after)
        })
        .await?;
        batches(0, |after| self.store.remove_old_notifications(age, after)).await
    }

    async fn sweep_builds(&self, age: Option<Duration>) -> Result<u64, SweepError> {
        let Some(age) = age else { return Ok(0) };
        batches(Uuid::nil(), |after| self.store.remove_old_builds(age, after)).await
    }
}

/// Removes batch after batch, beginning at `first`. Returns the number of rows in all.
async fn batches<C, F>(first: C, remove: impl Fn(C) -> F) -> Result<u64, SweepError>
where
    F: Future<Output = Result<Batch<C>, StoreError>>,
{
    let mut removed = 0;
    let mut next = Some(first);
    while let Some(after) = next {
        let begun = Instant::now();
        let batch = remove(after).await?;
        removed += batch.removed;
        next = batch.next;
        if next.is_some() {
            rest(begun).await;
        }
    }
    Ok(removed)
}

/// Pauses for as long as the work since `begun` took, and a little more.
pub(super) async fn rest(begun: Instant) {
    tokio::time::sleep(begun.elapsed() + PAUSE).await;
}
