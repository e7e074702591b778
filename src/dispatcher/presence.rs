//! Says that this dispatcher is there, for those who answer why builds wait.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Dispatcher, observer::jittered};
use crate::store::StoreError;

/// How often.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the farewell may take: without it, this process counts as there for some seconds more.
const FAREWELL: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Says so at intervals, and at once when the cluster stops or begins to answer, until `soft`.
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

    /// Says once, under this name, that this dispatcher is there.
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
