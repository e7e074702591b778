//! Launchers, which run builds: Kubernetes, or a container engine on one machine, behind one trait.

pub mod classify;
pub mod context;
pub mod engine;
pub mod kaniko_args;
pub mod kubernetes;
pub mod manifest;
pub mod noop;
pub mod outcome;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::domain::{BuildId, BuildSpec, ProjectSettings, Sighting};

/// Build that is to be launched.
#[derive(Debug, Clone)]
pub struct Order {
    /// Id of the build.
    pub id: BuildId,
    /// Specification of the build.
    pub spec: BuildSpec,
    /// Settings of its project.
    pub project: ProjectSettings,
    /// Access to the uploaded context, if the source is one.
    pub context: Option<ContextGrant>,
}

/// Right to read one uploaded context, for one build, until that build ends.
#[derive(Debug, Clone)]
pub struct ContextGrant {
    /// URL of the context, as the build's pod reaches it.
    pub url: url::Url,
    /// Token, sent as `Authorization: Bearer …`.
    pub token: SecretString,
    /// SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// The archive's size in bytes.
    pub size: u64,
}

/// Result of a successful launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// The Job's uid, or the engine's equivalent.
    pub external_id: String,
    /// `true` if the Job existed already and was adopted.
    pub adopted: bool,
}

/// Error of a launch, by its consequence.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher's backend does not answer, or is overloaded: the build goes back to the queue.
    #[error("{0}")]
    Unavailable(String),
    /// Another Job has the name: `name_conflict`.
    #[error("a Job named {0} exists and is not this build's")]
    NameConflict(String),
    /// The same launch would be refused again: `launch_failed`.
    #[error("{0}")]
    Refused(String),
}

/// Error of a launcher's call, other than a launch.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// The backend does not answer, or may answer differently next time.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing of that name exists (any more, or not yet).
    #[error("{0}")]
    NotFound(String),
}

/// Returns how long Kubernetes waits after `failed` failed pods before it creates the next: 10 s, 20 s, 40 s,
/// …, at most 10 minutes. Pods that do not count as failures count here.
pub fn pause_after(failed: u32) -> Duration {
    match failed {
        0 => Duration::ZERO,
        _ => Duration::from_secs((10 << (failed - 1).min(10)).min(600)),
    }
}

/// Builds that may have changed and must be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One build.
    Build(BuildId),
    /// Every build: the watch was restarted.
    Everything,
}

/// Runs builds on a backend: the Kubernetes API server or a container engine. Every method may be called
/// again after a crash, by this process or another, and does no harm.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Creates the build's Job, or adopts the one that an earlier call created.
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError>;

    /// Observes a build. `None` if nothing is left of it: no Job, and no pod that could push.
    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError>;

    /// Observes a build as [`Launcher::look`] does, but reads from the backend itself: a watch may trail, or
    /// may have been cut off unnoticed.
    async fn ask(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        self.look(id).await
    }

    /// Lists every build of which a Job or a pod exists.
    async fn list(&self) -> Result<Vec<BuildId>, LauncherError>;

    /// Returns a stream of builds to observe. It never ends by itself; broken watches and new lists are
    /// handled inside.
    fn changes(&self) -> BoxStream<'static, Change>;

    /// Ensures that no further attempt is started.
    async fn stop_retrying(&self, id: BuildId) -> Result<(), LauncherError>;

    /// Starts attempt `number` if the backend does not retry by itself; otherwise does nothing.
    async fn start_attempt(&self, order: &Order, number: u32) -> Result<(), LaunchError>;

    /// Requests the removal of everything that belongs to the build. It is complete when [`Launcher::look`]
    /// returns `None`.
    async fn remove(&self, id: BuildId) -> Result<(), LauncherError>;

    /// Follows the log of an attempt from the byte `from` on, until its container ends.
    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError>;

    /// Checks that the backend answers.
    async fn ready(&self) -> Result<(), LauncherError>;
}
