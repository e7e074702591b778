//! A launcher that runs nothing: every build succeeds at once. For load tests of everything but the builds.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Change, LaunchError, Launched, Launcher, LauncherError, Order};
use crate::domain::{BuildId, Outcome, Sighting, outcome::Advice};

/// Launcher whose builds end the moment they are launched.
pub struct Noop {
    jobs: Mutex<BTreeSet<BuildId>>,
    changes: broadcast::Sender<Change>,
}

impl Default for Noop {
    fn default() -> Self {
        Self {
            jobs: Mutex::default(),
            changes: broadcast::channel(4096).0,
        }
    }
}

impl Noop {
    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeSet<BuildId>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Launcher for Noop {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        let adopted = !self.jobs().insert(order.id);
        // There may be no receiver yet; the observer observes every build when it begins.
        let _ = self.changes.send(Change::Build(order.id));
        Ok(Launched {
            external_id: order.id.to_string(),
            adopted,
        })
    }

    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        Ok(self.jobs().contains(&id).then(|| Sighting {
            external_id: id.to_string(),
            outcome: Outcome::Succeeded { digest: None },
            attempts: Vec::new(),
            failed_attempts: 0,
            deleting: false,
            advice: Advice::None,
        }))
    }

    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        Ok(self.jobs().iter().copied().collect())
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        BroadcastStream::new(self.changes.subscribe())
            .map(|change| change.unwrap_or(Change::Everything))
            .boxed()
    }

    async fn stop_retrying(&self, _: BuildId) -> Result<(), LauncherError> {
        Ok(())
    }

    async fn start_attempt(&self, _: &Order, _: u32) -> Result<(), LaunchError> {
        Ok(())
    }

    async fn remove(&self, id: BuildId) -> Result<(), LauncherError> {
        self.jobs().remove(&id);
        Ok(())
    }

    async fn log(
        &self,
        _: BuildId,
        attempt: &str,
        _: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        Err(LauncherError::NotFound(format!("{attempt} wrote no log")))
    }

    async fn ready(&self) -> Result<(), LauncherError> {
        Ok(())
    }
}
