//! Runs builds as containers of a Docker-compatible engine (Docker, Podman) on one machine: for laptops and
//! the demo.
//!
//! Each attempt has one container, named after the build and labelled, so that a restarted service finds it
//! again. The engine handles neither retries nor timeouts for us: `outcome` decides about them from the
//! observation, and every process that observes decides the same.

mod agenda;
mod attempts;
mod changes;
mod context;
mod engine_error;
mod files;
mod image;
mod labels;
mod launch;
mod log;
mod outcome;
mod request;
mod secrets;
mod settled;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bollard::{
    Docker,
    query_parameters::{KillContainerOptions, RemoveContainerOptionsBuilder},
};
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::SignedDuration;
use tokio::sync::OnceCell;
use tracing::info;

use super::{Change, LaunchError, Launched, Launcher, LauncherError, Order, kaniko_args::KanikoOptions};
use crate::domain::{
    BuildId, Clock, Sighting,
    archive::Limits,
    quantity::{Cpu, Memory},
};

use self::{agenda::Agenda, image::Image, outcome::Seen};

/// Default socket of Docker.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Options of the engine launcher.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's address, as in `DOCKER_HOST`: `unix:///path`, `tcp://host:port` or `http://host:port`.
    /// When absent, Docker's own socket, or Podman's if that does not exist.
    pub host: Option<String>,
    /// Name that distinguishes this service's containers from those of another one on the same engine.
    pub instance: String,
    /// kaniko's image and the operator's settings for every build.
    pub kaniko: KanikoOptions,
    /// The engine's network for builds: `bridge`, or `host` where a registry listens on loopback only.
    pub network: String,
    /// Capabilities besides kaniko's own, such as `SYS_CHROOT` for the stand-in executor.
    pub extra_capabilities: Vec<String>,
    /// Docker `config.json` with registry credentials, of which builds get a copy. They get none when absent.
    pub docker_config: Option<PathBuf>,
    /// Folder that takes the place of a cluster's Secrets: `<folder>/<secret>/<key>`. There are none when
    /// absent.
    pub secrets: Option<PathBuf>,
    /// Folder on the engine's machine whose subfolders `volume` sources name. When absent they name volumes
    /// of the engine, and only those that carry the label `slipway.dev/context`.
    pub volume_root: Option<PathBuf>,
    /// CPU limit of builds that request none; unlimited when absent.
    pub default_cpu: Option<Cpu>,
    /// Memory limit of builds that request none; unlimited when absent.
    pub default_memory: Option<Memory>,
    /// Upper bound of the processes of a build.
    pub pids_limit: i64,
    /// Pause before the second attempt; it doubles with each further one.
    pub retry_delay: SignedDuration,
    /// Limits of a context that is copied into a container.
    pub context_limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: None,
            instance: "default".to_owned(),
            kaniko: KanikoOptions::default(),
            network: "bridge".to_owned(),
            extra_capabilities: Vec::new(),
            docker_config: None,
            secrets: None,
            volume_root: None,
            default_cpu: None,
            default_memory: None,
            pids_limit: 4096,
            retry_delay: SignedDuration::from_secs(10),
            context_limits: Limits::default(),
        }
    }
}

/// Error in the options of an engine launcher.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The address has an unknown scheme.
    #[error("the container engine's address must begin with unix://, tcp:// or http://, not {0:?}")]
    Host(String),
}

/// The launcher for a container engine.
pub struct Engine {
    options: Options,
    clock: Arc<dyn Clock>,
    http: reqwest::Client,
    image: Image,
    docker: OnceCell<Docker>,
    agenda: Arc<Agenda>,
}

impl Engine {
    /// Creates a launcher with these options. The engine need not answer yet. `http` fetches uploaded
    /// contexts.
    pub fn new(options: Options, http: reqwest::Client, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        if let Some(host) = &options.host
            && !["unix://", "tcp://", "http://"]
                .iter()
                .any(|scheme| host.starts_with(scheme))
        {
            return Err(OptionsError::Host(host.clone()));
        }
        let image = Image::new(&options.kaniko.image, Arc::clone(&clock));
        Ok(Self {
            options,
            clock,
            http,
            image,
            docker: OnceCell::new(),
            agenda: Arc::default(),
        })
    }

    /// Returns the connection. The first use opens it and negotiates the protocol version.
    async fn docker(&self) -> Result<&Docker, LauncherError> {
        let unavailable = |error| LauncherError::Unavailable(engine_error::words(&error));
        let connection = self
            .docker
            .get_or_try_init(|| connect(self.options.host.as_deref()));
        connection.await.map_err(unavailable)
    }

    /// Observes a build's attempts, and kills those that have exceeded their timeout.
    async fn attempts(&self, id: BuildId) -> Result<Vec<Seen>, LauncherError> {
        let docker = self.docker().await?;
        let look = || attempts::look(docker, &self.options.instance, id);
        let seen = look().await.map_err(|error| engine_error::looking(&error))?;
        let now = self.clock.now();
        let overdue = seen
            .iter()
            .filter(|one| one.deadline().is_some_and(|deadline| deadline <= now));
        let mut killed = false;
        for one in overdue {
            info!(build.id = %id, container = one.name, "the build has run longer than its timeout");
            match docker.kill_container(&one.id, None::<KillContainerOptions>).await {
                // 404 and 409: it has ended in the meantime.
                Err(error) if !matches!(engine_error::status(&error), Some(404 | 409)) => {
                    return Err(engine_error::looking(&error));
                }
                _ => killed = true,
            }
        }
        if !killed {
            return Ok(seen);
        }
        look().await.map_err(|error| engine_error::looking(&error))
    }
}

async fn connect(host: Option<&str>) -> Result<Docker, bollard::errors::Error> {
    let docker = match host {
        Some(host) => Docker::connect_with_host(host)?,
        None if std::path::Path::new(DOCKER_SOCKET).exists() => Docker::connect_with_unix_defaults()?,
        None => Docker::connect_with_podman_defaults()?,
    };
    docker.negotiate_version().await
}

#[async_trait]
impl Launcher for Engine {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        launch::launch(self, order).await
    }

    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        let seen = self.attempts(id).await?;
        let verdict = outcome::sighting(&seen, self.options.retry_delay, self.clock.now());
        let Some(verdict) = verdict else {
            self.agenda.forget(id);
            return Ok(None);
        };
        self.agenda.plan(id, &seen, verdict.retry_at, self.clock.now());
        Ok(Some(verdict.sighting))
    }

    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        let filter = labels::ours(&self.options.instance);
        let found = attempts::labelled(self.docker().await?, &filter, &self.options.instance).await;
        let found = found.map_err(|error| engine_error::looking(&error))?;
        let mut builds: Vec<BuildId> = found.into_iter().map(|(_, labels)| labels.build).collect();
        builds.sort_unstable();
        builds.dedup();
        Ok(builds)
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        changes::changes(self)
    }

    /// Does nothing: only [`Launcher::start_attempt`] starts a further attempt.
    async fn stop_retrying(&self, _id: BuildId) -> Result<(), LauncherError> {
        Ok(())
    }

    async fn start_attempt(&self, order: &Order, number: u32) -> Result<(), LaunchError> {
        launch::start_attempt(self, order, number).await
    }

    async fn remove(&self, id: BuildId) -> Result<(), LauncherError> {
        let docker = self.docker().await?;
        let filter = labels::of_build(&self.options.instance, id);
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        // Repeated until nothing is found: an attempt may have been started while the ones before it were
        // removed.
        loop {
            let found = attempts::labelled(docker, &filter, &self.options.instance).await;
            let found = found.map_err(|error| engine_error::looking(&error))?;
            if found.is_empty() {
                self.agenda.forget(id);
                return Ok(());
            }
            for (container, _) in found {
                match docker.remove_container(&container, Some(options.clone())).await {
                    Err(error) if engine_error::status(&error) == Some(404) => {}
                    // Another call is removing it already; the next observation shows if it is gone.
                    Err(error) if engine_error::status(&error) == Some(409) => return Ok(()),
                    other => other.map_err(|error| engine_error::looking(&error))?,
                }
            }
        }
    }

    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        log::follow(self.docker().await?, &self.options.instance, id, attempt, from).await
    }

    async fn ready(&self) -> Result<(), LauncherError> {
        let answer = self.docker().await?.ping().await;
        answer
            .map(drop)
            .map_err(|error| LauncherError::Unavailable(engine_error::words(&error)))
    }
}
