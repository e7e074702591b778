//! What runs builds: Kubernetes, or a container engine on one machine, behind one trait.

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

/// A build that is to be launched.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which build.
    pub id: BuildId,
    /// What to build.
    pub spec: BuildSpec,
    /// What is settled for its project.
    pub project: ProjectSettings,
    /// Where the uploaded context can be had, if the source is one.
    pub context: Option<ContextGrant>,
}

/// The right to read one uploaded context, for one build, as long as that build lives.
#[derive(Debug, Clone)]
pub struct ContextGrant {
    /// The address, as the build's pod reaches it.
    pub url: url::Url,
    /// Sent as `Authorization: Bearer …`.
    pub token: SecretString,
    /// SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// The archive's size in bytes.
    pub size: u64,
}

/// What a launch made, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// The Job's uid, or the engine's equivalent.
    pub external_id: String,
    /// Whether it was there already and was adopted.
    pub adopted: bool,
}

/// Why a launch did not come about, by what follows from it.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher's other side does not answer, or asks to be left alone: the build goes back to the queue.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody else's Job has the name: `name_conflict`.
    #[error("a Job named {0} exists and is not this build's")]
    NameConflict(String),
    /// It will be refused again just the same: `launch_failed`.
    #[error("{0}")]
    Refused(String),
}

/// Why a launcher could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// No answer, or one that may be another next time.
    #[error("{0}")]
    Unavailable(String),
    /// There is nothing of that name (any more), or not yet.
    #[error("{0}")]
    NotFound(String),
}

/// How long Kubernetes waits after so many failed pods before it makes the next: 10 s, 20 s, 40 s, … and never more
/// than 10 minutes. Those that are not counted as failures are counted here.
pub fn pause_after(failed: u32) -> Duration {
    match failed {
        0 => Duration::ZERO,
        _ => Duration::from_secs((10 << (failed - 1).min(10)).min(600)),
    }
}

/// Something about these builds may have changed: look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One build.
    Build(BuildId),
    /// Any build: the watch began anew.
    Everything,
}

/// Runs builds. Every method may be called again after a crash, by this process or another, and does no harm.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Creates the build's Job, or adopts the one that an earlier call made.
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError>;

    /// What is to be seen of a build now. `None` when nothing is left of it: no Job, and no pod that could push.
    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError>;

    /// As [`Launcher::look`], and from the other side itself: what was watched may trail, or be cut off unnoticed.
    async fn ask(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        self.look(id).await
    }

    /// Every build that something is to be seen of.
    async fn list(&self) -> Result<Vec<BuildId>, LauncherError>;

    /// Says which builds to look at. Never ends by itself; breaks and relists are handled inside.
    fn changes(&self) -> BoxStream<'static, Change>;

    /// Makes sure that no further attempt is started.
    async fn stop_retrying(&self, id: BuildId) -> Result<(), LauncherError>;

    /// Starts attempt `number` where the launcher does not retry by itself; otherwise does nothing.
    async fn start_attempt(&self, order: &Order, number: u32) -> Result<(), LaunchError>;

    /// Asks for the removal of everything that belongs to the build. Done when [`Launcher::look`] sees nothing.
    async fn remove(&self, id: BuildId) -> Result<(), LauncherError>;

    /// The log of an attempt from the byte `from` on, followed until its container ends.
    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError>;

    /// Whether the other side answers.
    async fn ready(&self) -> Result<(), LauncherError>;
}
