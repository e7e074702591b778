//! A place of its own for each test, a registry on this machine, and the part of the dispatcher that acts on what the
//! launcher sees.

use std::{fs, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt};
use kube::{Client, Config};
use serde_json::{Value, json};
use slipway::{
    domain::{BuildId, Outcome, Sighting, outcome::Advice},
    launcher::{
        Launcher, Order,
        kubernetes::Kubernetes,
        manifest::{KubernetesOptions, RegistryCredentials},
    },
};
use tempfile::TempDir;

use crate::{
    support::cluster::{self, Place},
    support::registry::Registry,
};

/// One test's world.
pub struct World {
    pub place: Place,
    pub options: KubernetesOptions,
    pub launcher: Arc<Kubernetes>,
    pub registry: Registry,
    home: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut KubernetesOptions)) -> Self {
        let place = Place::new().await;
        let registry = Registry::start(&cluster::host());
        let mut options = KubernetesOptions {
            namespace: place.namespace.clone(),
            ..KubernetesOptions::default()
        };
        options.image_pull_policy = Some("IfNotPresent".into());
        options.kaniko.insecure_registries = vec![registry.host.clone()];
        options.resources.cpu_request = "50m".into();
        options.kaniko.image = cluster::executor_image();
        if cluster::is_standin() {
            // It unpacks into a folder and runs there; kaniko needs no such right.
            options.extra_capabilities = vec!["SYS_CHROOT".into()];
        }
        change(&mut options);
        let launcher = Arc::new(Kubernetes::new(dispatchers_client().await, options.clone()));
        Self {
            place,
            options,
            launcher,
            registry,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// The launcher anew, with other options.
    pub async fn reconnect(&mut self, change: impl FnOnce(&mut KubernetesOptions)) {
        change(&mut self.options);
        self.launcher = Arc::new(Kubernetes::new(dispatchers_client().await, self.options.clone()));
    }

    /// A claim on a folder of this machine that holds these files, besides a shell.
    pub async fn claim(&mut self, name: &str, files: &[(&str, &str)]) {
        let folder = self.home.path().join(name);
        for (path, content) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            if path.file_name().is_some_and(|file| file == "Dockerfile") {
                fs::copy("/bin/busybox", path.with_file_name("busybox")).unwrap();
            }
        }
        self.place.claim(name, &folder).await;
    }

    /// The article's form: context and `config.json` each on a claim.
    pub async fn volume_order(&mut self, dockerfile: &str, rest: Value) -> Order {
        self.claim("contexts", &[("my-build/Dockerfile", dockerfile)])
            .await;
        self.order(
            json!({ "volume": { "claim": "contexts", "path": "my-build" } }),
            rest,
        )
    }

    pub fn order(&self, source: Value, rest: Value) -> Order {
        let destination = format!("{}/team/app:1", self.registry.host);
        let mut body = json!({ "source": source, "destinations": [destination] });
        body.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        Order {
            id: BuildId::generate(),
            spec: serde_json::from_value(body).unwrap(),
            project: slipway::domain::ProjectSettings::default(),
            context: None,
        }
    }

    /// Watches a build as the dispatcher does, heeding advice, until `done` says so.
    pub async fn watch(&self, id: BuildId, done: impl Fn(Option<&Sighting>) -> bool) -> Option<Sighting> {
        let mut changes = self.launcher.changes();
        let waiting = async {
            while changes.next().await.is_some() {
                let seen = self.look(id).await;
                if let Some(Advice::StopRetrying) = seen.as_ref().map(|seen| seen.advice) {
                    self.launcher.stop_retrying(id).await.unwrap();
                }
                if done(seen.as_ref()) {
                    return seen;
                }
            }
            panic!("the watch ended");
        };
        match tokio::time::timeout(Duration::from_secs(120), waiting).await {
            Ok(seen) => seen,
            Err(_) => panic!("waited in vain; last seen: {:?}", self.launcher.look(id).await),
        }
    }

    /// Looks, again if need be: a log may not be there at once.
    async fn look(&self, id: BuildId) -> Option<Sighting> {
        let look = || self.launcher.look(id);
        look.retry(ExponentialBuilder::default().with_max_times(5))
            .await
            .unwrap()
    }

    pub async fn finish(&self, id: BuildId) -> Sighting {
        let ended = |seen: Option<&Sighting>| {
            seen.is_some_and(|seen| matches!(seen.outcome, Outcome::Succeeded { .. } | Outcome::Failed(_)))
        };
        self.watch(id, ended)
            .await
            .expect("a build that has ended is still there")
    }
}

/// Credentials as in the article, from a claim.
pub fn config_on_a_claim(options: &mut KubernetesOptions) {
    options.registry_credentials = Some(RegistryCredentials::Claim("docker-config".into()));
}

/// With the rights that deploy/kubernetes/rbac.yaml grants, and no others.
pub async fn dispatchers_config() -> Config {
    let mut config = cluster::config().await;
    config.auth_info.impersonate = Some("system:serviceaccount:slipway:slipway".into());
    config
}

async fn dispatchers_client() -> Client {
    Client::try_from(dispatchers_config().await).unwrap()
}

/// An attempt's log to its end, as text.
pub async fn read_log(world: &World, id: BuildId, attempt: &str) -> String {
    let pieces: Vec<_> = world
        .launcher
        .log(id, attempt, 0)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    String::from_utf8_lossy(&pieces.concat()).into_owned()
}
