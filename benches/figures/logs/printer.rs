//! A launcher whose builds print what they are told to.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use slipway::{
    domain::{AttemptSeen, BuildId, Outcome, Phase, Sighting, outcome::Advice},
    launcher::{Change, LaunchError, Launched, Launcher, LauncherError, Order},
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;

/// Pieces that may be on their way to a log's reader.
const AHEAD: usize = 16;

/// Builds that run, each with one attempt, until the program ends.
pub struct Printer {
    builds: Mutex<HashMap<BuildId, Build>>,
    changes: broadcast::Sender<Change>,
}

struct Build {
    prints: mpsc::Sender<Bytes>,
    printed: Option<mpsc::Receiver<Bytes>>,
}

impl Default for Printer {
    fn default() -> Self {
        Self {
            builds: Mutex::default(),
            changes: broadcast::channel(4096).0,
        }
    }
}

impl Printer {
    fn builds(&self) -> MutexGuard<'_, HashMap<BuildId, Build>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a build prints goes in here, once it was launched.
    pub fn output(&self, id: BuildId) -> Option<mpsc::Sender<Bytes>> {
        self.builds().get(&id).map(|build| build.prints.clone())
    }
}

fn attempt(id: BuildId) -> AttemptSeen {
    AttemptSeen {
        name: format!("pod-{id}"),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    }
}

#[async_trait]
impl Launcher for Printer {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        self.builds().entry(order.id).or_insert_with(|| {
            let (prints, printed) = mpsc::channel(AHEAD);
            Build {
                prints,
                printed: Some(printed),
            }
        });
        let _ = self.changes.send(Change::Build(order.id));
        Ok(Launched {
            external_id: order.id.to_string(),
            adopted: false,
        })
    }
    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        Ok(self.builds().contains_key(&id).then(|| Sighting {
            external_id: id.to_string(),
            outcome: Outcome::Running {
                phase: Phase::Building,
            },
            attempts: vec![attempt(id)],
            failed_attempts: 0,
            deleting: false,
            advice: Advice::None,
        }))
    }
    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        Ok(self.builds().keys().copied().collect())
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
        self.builds().remove(&id);
        Ok(())
    }
    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        _: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        let printed = self.builds().get_mut(&id).and_then(|build| build.printed.take());
        let printed = printed.ok_or_else(|| LauncherError::NotFound(format!("{attempt} is read already")))?;
        let pieces = stream::unfold(printed, |mut printed| async move {
            printed.recv().await.map(|piece| (Ok(piece), printed))
        });
        Ok(pieces.boxed())
    }
    async fn ready(&self) -> Result<(), LauncherError> {
        Ok(())
    }
}
