//! Provides the executor's image: it is in the engine's store already, or is pulled once for all builds that
//! wait for it.

use std::sync::Arc;

use bollard::{Docker, query_parameters::CreateImageOptionsBuilder};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::engine_error;
use crate::{domain::Clock, launcher::LaunchError};

/// Longest time that a launch waits for a pull before the build goes back to the queue.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// Time for which pulls may fail before builds fail, too.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// State of a pull.
#[derive(Debug, Clone)]
enum Pull {
    Running(String),
    Done,
    Failed(String),
}

/// Image that must be in the engine's store.
pub struct Image {
    name: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pull: Option<watch::Receiver<Pull>>,
    failing_since: Option<Timestamp>,
}

impl Image {
    /// Creates the state for the image of this name.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: name.to_owned(),
            clock,
            state: Mutex::default(),
        }
    }

    /// Returns once the image is in the engine's store. If it is not, starts to pull it and waits for up to
    /// `PATIENCE`.
    pub async fn ensure(&self, docker: &Docker) -> Result<(), LaunchError> {
        let mut state = self.state.lock().await;
        match docker.inspect_image(&self.name).await {
            Ok(_) => {
                *state = State::default();
                return Ok(());
            }
            Err(error) if engine_error::status(&error) == Some(404) => {}
            Err(error) => return Err(LaunchError::Unavailable(engine_error::words(&error))),
        }
        let mut pull = match &state.pull {
            Some(pull) => pull.clone(),
            None => {
                let pull = self.begin(docker.clone());
                state.pull = Some(pull.clone());
                pull
            }
        };
        drop(state);
        let progress = pull.clone();
        let end = pull.wait_for(|pull| !matches!(pull, Pull::Running(_)));
        let now = match tokio::time::timeout(PATIENCE, end).await {
            Ok(Ok(pull)) => pull.clone(),
            Ok(Err(_)) => Pull::Failed("the pull broke off".to_owned()),
            Err(_) => progress.borrow().clone(),
        };
        self.judge(now).await
    }

    async fn judge(&self, pull: Pull) -> Result<(), LaunchError> {
        let mut state = self.state.lock().await;
        match pull {
            Pull::Done => {
                *state = State::default();
                Ok(())
            }
            Pull::Running(progress) => Err(LaunchError::Unavailable(format!(
                "the executor's image {} is being pulled: {progress}",
                self.name
            ))),
            Pull::Failed(words) => {
                state.pull = None;
                let now = self.clock.now();
                let since = *state.failing_since.get_or_insert(now);
                let message = format!("the executor's image {} cannot be pulled: {words}", self.name);
                if now.duration_since(since) < GRACE {
                    return Err(LaunchError::Unavailable(message));
                }
                Err(LaunchError::Refused(message))
            }
        }
    }

    fn begin(&self, docker: Docker) -> watch::Receiver<Pull> {
        let (progress, receiver) = watch::channel(Pull::Running("just begun".to_owned()));
        let image = self.name.clone();
        info!(image, "pulling the executor's image");
        tokio::spawn(async move {
            let end = match pull(&docker, &image, &progress).await {
                Ok(()) => Pull::Done,
                Err(error) => Pull::Failed(engine_error::words(&error)),
            };
            match &end {
                Pull::Failed(reason) => warn!(image, reason, "the executor's image cannot be pulled"),
                _ => info!(image, "the executor's image is there"),
            }
            progress.send_replace(end);
        });
        receiver
    }
}

async fn pull(
    docker: &Docker,
    image: &str,
    progress: &watch::Sender<Pull>,
) -> Result<(), bollard::errors::Error> {
    let mut options = CreateImageOptionsBuilder::new().from_image(image);
    if !has_tag(image) {
        options = options.tag("latest");
    }
    let mut steps = docker.create_image(Some(options.build()), None, None).boxed();
    while let Some(step) = steps.next().await {
        let step = step?;
        let words = [step.id, step.status]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        progress.send_replace(Pull::Running(words));
    }
    Ok(())
}

/// Returns true if the reference has a tag or a digest. Without either the engine would pull all tags.
fn has_tag(image: &str) -> bool {
    image.contains('@') || image.rsplit('/').next().is_some_and(|last| last.contains(':'))
}
