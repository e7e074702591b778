//! Compares rows and Jobs, in both directions: finds changes that a watch missed, Jobs that were deleted by
//! hand, and Jobs that a crash left behind.

use std::{collections::HashSet, ops::AddAssign};

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, failures, launching::log_failure, observer::jittered, sighted::Looked};
use crate::{
    domain::{BuildId, Cause, State},
    store::{Live, OfJob, StoreError},
};

/// Number of rows that one query reads.
const PAGE: u32 = 500;
/// Number of rows that are compared concurrently: a node that does not answer delays each observation of its
/// builds by seconds.
pub(super) const AT_ONCE: usize = 16;

/// Result of one comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Builds whose ends were recorded.
    pub ended: usize,
    /// Jobs that had vanished and were created again.
    pub relaunched: usize,
    /// Jobs that were removed because they are no longer needed.
    pub removed: usize,
}

impl Reconciled {
    fn ended(one: bool) -> Self {
        Self {
            ended: usize::from(one),
            ..Self::default()
        }
    }
}

impl AddAssign for Reconciled {
    fn add_assign(&mut self, other: Self) {
        self.ended += other.ended;
        self.relaunched += other.relaunched;
        self.removed += other.removed;
    }
}

impl Dispatcher {
    /// Reconciles at the start, on request and at intervals, until `stop`.
    pub(super) async fn run_reconcile(&self, stop: &CancellationToken) {
        let mut failed = 0;
        while !stop.is_cancelled() {
            let pause = match self.reconcile_once().await {
                Ok(done) => {
                    failed = 0;
                    if done != Reconciled::default() {
                        tracing::info!(
                            ended = done.ended,
                            relaunched = done.relaunched,
                            removed = done.removed,
                            "reconciled"
                        );
                    }
                    jittered(self.options().reconcile_interval)
                }
                Err(error) => {
                    if failed == 0 {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "rows and Jobs cannot be compared; trying again"
                        );
                    }
                    failed += 1;
                    backoff::delay(failed)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.reconcile_now.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Compares rows and Jobs once.
    ///
    /// # Errors
    /// When a store call fails. A launcher that does not answer is not an error: nothing is concluded from
    /// it.
    pub async fn reconcile_once(&self) -> Result<Reconciled, StoreError> {
        let mut done = Reconciled::default();
        // Listed before the rows are read, so that the Job of a build that is launched meanwhile is not taken
        // for an orphan.
        let listed = self.launcher().list().await;
        let mut live = HashSet::new();
        let mut after = None;
        loop {
            let page = self.store().live(after, PAGE).await?;
            live.extend(page.iter().map(|row| row.id));
            let rows: Vec<_> = page.iter().map(|row| self.reconcile_row(row)).collect();
            let mut compared = stream::iter(rows).buffer_unordered(AT_ONCE);
            while let Some(one) = compared.try_next().await? {
                done += one;
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(last.id),
                _ => break,
            }
        }
        let Ok(listed) = listed else { return Ok(done) };
        self.0.strangers.retain(&listed);
        let rest: Vec<BuildId> = listed.into_iter().filter(|id| !live.contains(id)).collect();
        for page in rest.chunks(PAGE as usize) {
            done.removed += self.clear_away(page).await?;
        }
        Ok(done)
    }

    async fn reconcile_row(&self, row: &Live) -> Result<Reconciled, StoreError> {
        match row.state {
            State::Running => match self.observe_once(row.id).await? {
                Looked::Nothing => self.lost(row).await,
                Looked::Ended => Ok(Reconciled::ended(true)),
                Looked::Stale => self.replaced(row).await,
                Looked::GoesOn | Looked::Unknown => Ok(Reconciled::default()),
            },
            State::Cancelling => Ok(Reconciled::ended(self.see_cancel_through(row.id).await?)),
            // A launching build belongs to the holder of its claim until the lease expires.
            _ => Ok(Reconciled::default()),
        }
    }

    /// Handles a build whose observation does not fit its row: it ended meanwhile, or its Job was deleted and
    /// another one of the same name was created. In the latter case a new launch finds that Job, and adopts
    /// it if it is the build's.
    async fn replaced(&self, row: &Live) -> Result<Reconciled, StoreError> {
        match self.launcher().ask(row.id).await {
            Ok(Some(now)) if row.external_id.as_ref() != Some(&now.external_id) && !now.deleting => {
                self.lost(row).await
            }
            _ => Ok(Reconciled::default()),
        }
    }

    /// Handles a running build of which nothing is left: launches it again, a bounded number of times, and
    /// then fails it.
    async fn lost(&self, row: &Live) -> Result<Reconciled, StoreError> {
        let recorded = OfJob::recorded(row.id, row.external_id.as_deref());
        if row.relaunches >= self.options().max_relaunches {
            let failure = failures::job_lost(row.relaunches);
            let ended = self
                .store()
                .give_up(recorded, &failure, Cause::JobLost, &[], 0)
                .await?;
            if ended {
                log_failure(row.id, &failure);
            }
            return Ok(Reconciled::ended(ended));
        }
        let mut done = Reconciled::default();
        if let Some(claim) = self.store().relaunch(recorded, self.options().lease).await? {
            metrics::counter!("slipway_relaunches_total").increment(1);
            tracing::warn!(build.id = %row.id, relaunches = row.relaunches, "the Job vanished; it is made again");
            self.launch(claim).await;
            done.relaunched += 1;
        }
        Ok(done)
    }
}
