//! One test's world: a namespace, a registry, a database and the service.

use std::{fs, path::Path};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::{Compression, write::GzEncoder};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::{
    support::cluster::{self, Place},
    support::registry::Registry,
    support::service::Service,
};

/// The claim that holds contexts.
const CONTEXTS: &str = "contexts";

/// What a test works with. The service ends first.
pub struct World {
    pub service: Service,
    pub place: Place,
    pub registry: Registry,
    /// A folder that the nodes see, too.
    pub home: TempDir,
}

impl World {
    /// Everything up, with the settings of the deployment and these.
    pub async fn with(database: &PgConnectOptions, settings: &[(&str, &str)]) -> Self {
        let mut world = Self::new(database, Registry::open(&cluster::host()).await).await;
        world.serve(settings).await;
        world
    }

    /// The same on a registry of the test's choice, and the service is not started yet.
    pub async fn new(database: &PgConnectOptions, registry: Registry) -> Self {
        let mut place = Place::new().await;
        let home = tempfile::tempdir().expect("a temporary folder");
        let volume = home.path().join("volume");
        fs::create_dir(&volume).expect("the folder can be made");
        place.claim(CONTEXTS, &volume).await;
        let kubeconfig = home.path().join("kubeconfig");
        place.service_kubeconfig(&kubeconfig, None).await;
        let service = service("slipway", database, &place.namespace, &registry.host, home.path());
        Self {
            service,
            place,
            registry,
            home,
        }
    }

    /// Starts the service with these settings besides.
    pub async fn serve(&mut self, settings: &[(&str, &str)]) {
        for (key, value) in settings {
            self.service.set(key, value);
        }
        self.service.up().await;
    }

    /// The Dockerfile, with the base image's name where it says `BASE`.
    pub fn dockerfile(&self, text: &str) -> String {
        text.replace("BASE", &self.registry.base())
    }

    /// The article's way: a folder on a claim, with a Dockerfile. Returns the request's source.
    pub fn folder(&self, name: &str, dockerfile: &str) -> Value {
        let folder = self.home.path().join("volume").join(name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join("Dockerfile"), self.dockerfile(dockerfile)).expect("the file can be written");
        json!({ "volume": { "claim": CONTEXTS, "path": name } })
    }

    /// A project with these settings.
    pub async fn project(&self, name: &str, settings: Value) {
        let new = json!({ "name": name, "terms": { "settings": settings } });
        let (status, answer) = self.service.post("api/v1/projects", &new).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// A Secret for the registry, as `kubectl create secret docker-registry` makes it.
    pub async fn registry_secret(&self, name: &str, password: &str) {
        self.registry_secret_for(name, &self.registry.host, password)
            .await;
    }

    /// The same for another registry.
    pub async fn registry_secret_for(&self, name: &str, host: &str, password: &str) {
        let secret = json!({
            "metadata": { "name": name }, "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": docker_config(host, password) },
        });
        self.place.create::<Secret>(secret).await;
    }

    /// The registry's credentials as a `config.json`.
    pub fn docker_config(&self, password: &str) -> String {
        docker_config(&self.registry.host, password)
    }

    /// The log of a build's last attempt, as far as it is stored now.
    pub async fn log(&self, id: &str) -> String {
        let (_, log) = self.service.get(&format!("api/v1/builds/{id}/logs")).await;
        log.as_str().map_or_else(|| log.to_string(), str::to_owned)
    }
}

fn docker_config(host: &str, password: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("builder:{password}"));
    let login = json!({ "username": "builder", "password": password, "auth": auth });
    json!({ "auths": { host: login } }).to_string()
}

/// A service on a database and a namespace, with the settings of the deployment, not started yet.
pub fn service(
    name: &str,
    database: &PgConnectOptions,
    namespace: &str,
    registry: &str,
    home: &Path,
) -> Service {
    let path = |name: &str| home.join(name).to_str().expect("a path is text").to_owned();
    // Pods fetch uploaded contexts from it.
    let host = cluster::host().parse().expect("the host is an address");
    let mut settings = vec![
        ("SLIPWAY_DATABASE_URL", url(database)),
        // Few, for a connection takes a debug build long, and patience, for the machine is busy.
        ("SLIPWAY_DATABASE_CONNECTIONS", "4".to_owned()),
        ("SLIPWAY_DATABASE_ACQUIRE_TIMEOUT", "60s".to_owned()),
        ("SLIPWAY_NAMESPACE", namespace.to_owned()),
        ("SLIPWAY_EXECUTOR_IMAGE", cluster::executor_image()),
        ("SLIPWAY_FETCHER_IMAGE", cluster::fetcher_image()),
        ("SLIPWAY_IMAGE_PULL_POLICY", "IfNotPresent".to_owned()),
        ("SLIPWAY_SERVICE_ACCOUNT", "slipway-build".to_owned()),
        ("SLIPWAY_INSECURE_REGISTRIES", registry.to_owned()),
        ("SLIPWAY_CONTEXT_STORE", path("contexts")),
        ("KUBECONFIG", path("kubeconfig")),
        // Many builds at once on a small node.
        ("SLIPWAY_CPU", "10m:2".to_owned()),
        ("SLIPWAY_MEMORY", "32Mi:1Gi".to_owned()),
        ("SLIPWAY_DISK", "1Mi:1Gi".to_owned()),
    ];
    if cluster::is_standin() {
        settings.push(("SLIPWAY_CAPABILITIES", "SYS_CHROOT".to_owned()));
    }
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    Service::on(host, name, &settings)
}

/// A gzipped archive of these files.
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .expect("in memory");
    }
    tar.into_inner().expect("in memory").finish().expect("in memory")
}

fn url(database: &PgConnectOptions) -> String {
    let mut url: url::Url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names the server")
        .parse()
        .expect("DATABASE_URL is a URL");
    url.set_path(database.get_database().expect("a test has a database"));
    url.into()
}
