//! Writes the heartbeat of this dispatcher, from which the API explains why builds wait.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Dispatcher, observer::jittered};
use crate::store::StoreError;

/// Interval between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(5);
/// Deadline for removing the heartbeat at the end. If it is not removed, this process counts as alive for
/// some seconds more.
const FAREWELL: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Writes the heartbeat at intervals, and at once when the backend stops or resumes answering, until
    /// `soft`.
    pub(super) async fn run_presence(&self, soft: &CancellationToken) {
        let own = Uuid::new_v4();
        let mut answers = self.0.gate.watch();
        while !soft.is_cancelled() {
            answers.mark_unchanged();
            if let Err(error) = self.announce(own).await {
                tracing::debug!(%error, "this dispatcher's presence was not recorded; it is said again");
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(INTERVAL)) => {}
                _ = answers.changed() => {}
                () = soft.cancelled() => {}
            }
        }
        let _ = tokio::time::timeout(FAREWELL, self.store().dispatcher_gone(own)).await;
    }

    /// Writes the heartbeat once, under the id `own`.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub async fn announce(&self, own: Uuid) -> Result<(), StoreError> {
        let answers = self.0.gate.failures() == 0;
        self.store()
            .dispatcher_seen(own, self.options().slots, answers)
            .await
    }
}
