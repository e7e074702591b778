//! Completes cancels (cancelling to cancelled or superseded): the Job and its pod are removed, and only then
//! is the build's end recorded.

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, reconcile::AT_ONCE, sighted::Looked};
use crate::{
    domain::{BuildId, Outcome, Sighting},
    launcher::LauncherError,
    store::{StoreError, Topic},
};

/// Number of cancelling builds that one query reads.
const PAGE: u32 = 200;

impl Dispatcher {
    /// Completes cancels until `stop`.
    pub(super) async fn run_cancels(&self, stop: &CancellationToken) {
        let mut wakeup = self.store().wakeup(Topic::Cancel);
        let mut failed = 0;
        while !stop.is_cancelled() {
            let pause = match self.cancel_once().await {
                Ok(_) => {
                    failed = 0;
                    None
                }
                Err(error) => {
                    failed += 1;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cancels cannot be seen through; trying again"
                    );
                    Some(backoff::delay(failed))
                }
            };
            let next = async {
                match pause {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => wakeup.wait().await,
                }
            };
            tokio::select! {
                () = next => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Does for every cancelling build what can be done now. Returns the number of builds that ended.
    ///
    /// # Errors
    /// When a store call fails.
    pub async fn cancel_once(&self) -> Result<usize, StoreError> {
        let mut ended = 0;
        let mut after = None;
        loop {
            let page = self.store().cancelling(after, PAGE).await?;
            let cancels: Vec<_> = page.iter().map(|id| self.see_cancel_through(*id)).collect();
            let mut seen = stream::iter(cancels).buffer_unordered(AT_ONCE);
            while let Some(one) = seen.try_next().await? {
                ended += usize::from(one);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some(*last),
                _ => return Ok(ended),
            }
        }
    }

    /// Removes the Job and pods of a cancelling build, and records the end when nothing is left. Returns true
    /// if the end was recorded. A build whose image was pushed before it could be stopped has succeeded.
    pub(super) async fn see_cancel_through(&self, id: BuildId) -> Result<bool, StoreError> {
        // Read before the observation: if a launch ended in between, the observation could be too early to
        // include its Job.
        let Some(launching) = self.store().launch_goes_on(id).await? else {
            return Ok(false);
        };
        match self.launcher().look(id).await {
            Ok(Some(sighting)) => {
                let sighting = self.without_secrets(id, &sighting).await?;
                if has_succeeded(&sighting) {
                    match self.record(id, &sighting).await? {
                        Looked::Ended => return Ok(true),
                        // The Job's status will report the success shortly.
                        Looked::GoesOn => return Ok(false),
                        // The observation is not of the build's recorded Job: the removal goes on.
                        Looked::Nothing | Looked::Stale | Looked::Unknown => {}
                    }
                }
                self.store()
                    .observe(
                        id,
                        &sighting.outcome,
                        &sighting.attempts,
                        sighting.failed_attempts,
                    )
                    .await?;
                if !sighting.deleting {
                    self.remove(id).await;
                }
                Ok(false)
            }
            Ok(None) if launching => Ok(false),
            Ok(None) => {
                let ended = self.store().pod_gone(id).await?;
                if let Some(state) = ended {
                    metrics::counter!("slipway_builds_finished_total", "state" => state.as_str())
                        .increment(1);
                    tracing::info!(build.id = %id, build.state = state.as_str(), "stopped");
                    self.no_more_logs(id).await?;
                }
                Ok(ended.is_some())
            }
            Err(error) => {
                tracing::debug!(build.id = %id, %error, "cannot be looked at; the cancel goes on later");
                Ok(false)
            }
        }
    }

    /// Requests the removal of a build's Job. A failure is only logged: reconciliation requests the removal
    /// again.
    pub(super) async fn remove(&self, id: BuildId) {
        metrics::counter!("slipway_removals_total").increment(1);
        match self.launcher().remove(id).await {
            Ok(()) | Err(LauncherError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(build.id = %id, %error, "a Job could not be removed; it is tried again")
            }
        }
    }
}

/// Returns true if the build's image was pushed, even if the Job does not report it yet.
fn has_succeeded(sighting: &Sighting) -> bool {
    matches!(sighting.outcome, Outcome::Succeeded { .. })
        || sighting.attempts.iter().any(|attempt| attempt.succeeded)
}
