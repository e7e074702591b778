//! A launcher on the machine's engine, with a registry and contexts of its own; everything goes away with it.

use std::{io::Write, path::PathBuf, sync::Arc, time::Duration};

use bollard::Docker;
use futures::StreamExt;
use jiff::SignedDuration;
use serde_json::{Value, json};
use slipway::{
    domain::{BuildId, Clock, Outcome, Sighting, SystemClock, outcome::Advice},
    launcher::{
        Change, Launcher, Order,
        engine::{Engine, Options},
        kaniko_args::DEFAULT_IMAGE,
    },
};
use tempfile::TempDir;

use crate::support::registry::Registry;

/// The stand-in executor, as `deploy/standin/build.sh` names it.
const STANDIN: &str = "slipway/standin-executor:dev";

/// Where the registry is reached: builds share the machine's network.
const LOOPBACK: &str = "127.0.0.1";

/// Longer than any build here takes, and short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct World {
    pub engine: Engine,
    pub registry: Registry,
    pub options: Options,
    pub docker: Docker,
    contexts: TempDir,
}

/// What is needed besides this program, or `None` with a word about what is missing.
///
/// `SLIPWAY_TEST_ENGINE=required` makes that a failure, `SLIPWAY_TEST_EXECUTOR_IMAGE` names the executor to test with.
async fn machine() -> Option<(Docker, String)> {
    match look_around().await {
        Ok(found) => Some(found),
        Err(missing) => {
            assert_ne!(
                std::env::var("SLIPWAY_TEST_ENGINE").as_deref(),
                Ok("required"),
                "{missing}"
            );
            not_run(&missing);
            None
        }
    }
}

/// Says that the running test was left out.
pub fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Past the capture of the test's output: a test that did not run must not look like one that passed.
    writeln!(std::io::stderr(), "NOT RUN: {test}: {why}").expect("stderr is writable");
}

async fn look_around() -> Result<(Docker, String), String> {
    let docker = match std::env::var("DOCKER_HOST") {
        Ok(host) => Docker::connect_with_host(&host),
        Err(_) => Docker::connect_with_unix_defaults(),
    };
    let docker = docker.map_err(|error| format!("no container engine: {error}"))?;
    let docker = docker
        .negotiate_version()
        .await
        .map_err(|error| format!("no container engine answers: {error}"))?;
    if let Ok(image) = std::env::var("SLIPWAY_TEST_EXECUTOR_IMAGE") {
        return Ok((docker, image));
    }
    for image in [DEFAULT_IMAGE, STANDIN] {
        if docker.inspect_image(image).await.is_ok() {
            return Ok((docker, image.to_owned()));
        }
    }
    Err("the engine has neither kaniko's image nor the stand-in's (deploy/executor-image.sh)".to_owned())
}

fn http() -> reqwest::Client {
    crate::support::process::install_crypto_provider();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

impl World {
    /// A world with an open registry; `None` where this machine has no engine.
    pub async fn open() -> Option<Self> {
        let (docker, image) = machine().await?;
        Some(Self::with(docker, image, Registry::open(LOOPBACK).await))
    }

    /// A world whose registry asks for credentials.
    pub async fn locked() -> Option<Self> {
        let (docker, image) = machine().await?;
        Some(Self::with(docker, image, Registry::locked(LOOPBACK).await))
    }

    fn with(docker: Docker, image: String, registry: Registry) -> Self {
        let contexts = tempfile::tempdir().expect("a folder");
        let mut options = Options {
            host: std::env::var("DOCKER_HOST").ok(),
            instance: format!("test-{}", BuildId::generate()),
            network: "host".to_owned(),
            volume_root: Some(contexts.path().to_owned()),
            retry_delay: SignedDuration::from_secs(1),
            ..Options::default()
        };
        if image.contains("standin") {
            options.extra_capabilities.push("SYS_CHROOT".to_owned());
        }
        options.kaniko.image = image;
        options.kaniko.insecure_registries.push(registry.host.clone());
        options.kaniko.push_retry = 0;
        let engine = engine(&options);
        Self {
            engine,
            registry,
            options,
            docker,
            contexts,
        }
    }

    /// A launcher as a restarted service would make it.
    pub fn restarted(&self) -> Engine {
        engine(&self.options)
    }

    /// A launcher with other options, on the same containers.
    pub fn with_options(&self, change: impl FnOnce(&mut Options)) -> Engine {
        let mut options = self.options.clone();
        change(&mut options);
        engine(&options)
    }

    /// A launcher with other options and a clock of the test's.
    pub fn with_clock(&self, change: impl FnOnce(&mut Options), clock: Arc<dyn Clock>) -> Engine {
        let mut options = self.options.clone();
        change(&mut options);
        Engine::new(options, http(), clock).expect("good options")
    }

    /// Writes a file below the claim `context`.
    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.contexts.path().join("context").join(path);
        std::fs::create_dir_all(path.parent().expect("below a folder")).expect("writable");
        std::fs::write(&path, content).expect("writable");
        path
    }

    /// A file outside all contexts.
    pub fn write_aside(&self, name: &str, content: &str) -> PathBuf {
        let path = self.contexts.path().join(name);
        std::fs::write(&path, content).expect("writable");
        path
    }

    /// An order for the context `context` with this Dockerfile, pushed to `team/app:1`.
    pub fn order(&self, dockerfile: &str, rest: Value) -> Order {
        self.write("Dockerfile", &dockerfile.replace("BASE", &self.registry.base()));
        let mut spec = json!({
            "source": { "volume": { "claim": "context" } },
            "destinations": [format!("{}/team/app:1", self.registry.host)],
            "timeout_seconds": 60,
        });
        let rest = rest.as_object().expect("an object").clone();
        spec.as_object_mut().expect("an object").extend(rest);
        Order {
            id: BuildId::generate(),
            spec: serde_json::from_value(spec).expect("a valid spec"),
            project: slipway::domain::ProjectSettings::default(),
            context: None,
        }
    }

    /// Launches, and does what a dispatcher does until the build has ended. Driven by the launcher's changes alone.
    pub async fn build(&self, order: &Order) -> Sighting {
        self.engine.launch(order).await.expect("launches");
        self.to_the_end(&self.engine, order).await
    }

    /// Does what a dispatcher does from here on.
    pub async fn to_the_end(&self, engine: &Engine, order: &Order) -> Sighting {
        self.until(engine, order, |sighting| {
            matches!(sighting.outcome, Outcome::Succeeded { .. } | Outcome::Failed(_))
        })
        .await
    }

    /// Does what a dispatcher does until what is seen is as wished.
    pub async fn until(
        &self,
        engine: &Engine,
        order: &Order,
        wished: impl Fn(&Sighting) -> bool,
    ) -> Sighting {
        let mut changes = engine.changes();
        let watching = async {
            loop {
                let change = changes.next().await.expect("changes never end");
                if change != Change::Everything && change != Change::Build(order.id) {
                    continue;
                }
                let sighting = engine
                    .look(order.id)
                    .await
                    .expect("the engine answers")
                    .expect("it is there");
                if wished(&sighting) {
                    return sighting;
                }
                if let Advice::StartAttempt(number) = sighting.advice {
                    engine.start_attempt(order, number).await.expect("starts");
                }
            }
        };
        tokio::time::timeout(PATIENCE, watching)
            .await
            .expect("comes about in time")
    }

    /// The whole log of an attempt.
    pub async fn log(&self, order: &Order, attempt: u32, from: u64) -> String {
        let name = format!("{}-{attempt}", order.id.job_name());
        let pieces = self.engine.log(order.id, &name, from).await.expect("has a log");
        let pieces: Vec<_> = pieces.collect().await;
        let bytes: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| piece.expect("whole"))
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let engine = self.restarted();
        let remove = async move {
            for id in engine.list().await.unwrap_or_default() {
                drop(engine.remove(id).await);
            }
        };
        // A runtime of its own: this may run while the test's is unwinding.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(remove);
        });
        drop(cleaning.join());
    }
}

fn engine(options: &Options) -> Engine {
    Engine::new(options.clone(), http(), Arc::new(SystemClock)).expect("good options")
}
