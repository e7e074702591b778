//! Compares rows and Jobs, both ways: what a watch missed, what was deleted by hand, what a crash left behind.

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, failures, launching::log_failure, observer::jittered, sighted::Looked};
use crate::{
    domain::{BuildId, Cause, State},
    store::{Live, OfJob, StoreError},
};

/// Rows that are read at once.
const PAGE: u32 = 500;

/// What one comparison did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Builds whose ends were recorded.
    pub ended: usize,
    /// Jobs that had vanished and were made again.
    pub relaunched: usize,
    /// Jobs that were removed, since nobody needs them any more.
    pub removed: usize,
}

impl Dispatcher {
    /// Reconciles at the start, when asked to, and at intervals, until `stop`.
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

    /// Compares both sides once.
    ///
    /// # Errors
    /// When the store cannot be asked. A launcher that does not answer is no error: nothing is concluded from it.
    pub async fn reconcile_once(&self) -> Result<Reconciled, StoreError> {
        let mut done = Reconciled::default();
        // Listed before the rows are read: a Job of a build that is launched meanwhile is not taken for a stray.
        let listed = self.launcher().list().await;
        let mut live = HashSet::new();
        let mut after = None;
        loop {
            let page = self.store().live(after, PAGE).await?;
            for row in &page {
                live.insert(row.id);
                self.reconcile_row(row, &mut done).await?;
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

    async fn reconcile_row(&self, row: &Live, done: &mut Reconciled) -> Result<(), StoreError> {
        match row.state {
            State::Running => match self.observe_once(row.id).await? {
                Looked::Nothing => self.lost(row, done).await,
                Looked::Ended => {
                    done.ended += 1;
                    Ok(())
                }
                Looked::Stale => self.replaced(row, done).await,
                Looked::GoesOn | Looked::Unknown => Ok(()),
            },
            State::Cancelling => {
                done.ended += usize::from(self.see_cancel_through(row.id).await?);
                Ok(())
            }
            // A launching build belongs to whoever holds its claim, until the lease runs out.
            _ => Ok(()),
        }
    }

    /// A build that was not seen as it is recorded: it ended meanwhile, or somebody deleted its Job and made another one
    /// of the name. A launch finds that one, and adopts it if it is the build's.
    async fn replaced(&self, row: &Live, done: &mut Reconciled) -> Result<(), StoreError> {
        match self.launcher().ask(row.id).await {
            Ok(Some(now)) if row.external_id.as_ref() != Some(&now.external_id) && !now.deleting => {
                self.lost(row, done).await
            }
            _ => Ok(()),
        }
    }

    /// A running build of which nothing is left: made again, a bounded number of times.
    async fn lost(&self, row: &Live, done: &mut Reconciled) -> Result<(), StoreError> {
        let recorded = OfJob::recorded(row.id, row.external_id.as_deref());
        if row.relaunches >= self.options().max_relaunches {
            let failure = failures::job_lost(row.relaunches);
            if self
                .store()
                .give_up(recorded, &failure, Cause::JobLost, &[], 0)
                .await?
            {
                log_failure(row.id, &failure);
                done.ended += 1;
            }
            return Ok(());
        }
        if let Some(claim) = self.store().relaunch(recorded, self.options().lease).await? {
            metrics::counter!("slipway_relaunches_total").increment(1);
            tracing::warn!(build.id = %row.id, relaunches = row.relaunches, "the Job vanished; it is made again");
            self.launch(claim).await;
            done.relaunched += 1;
        }
        Ok(())
    }
}
