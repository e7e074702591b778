//! One test's world: a namespace, a registry, a database and the service.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::{
    cluster::{self, Place},
    registry::Registry,
    service::Service,
};

/// What a test works with.
pub struct World {
    pub place: Place,
    pub registry: Registry,
    pub service: Service,
    /// A folder that the nodes see, too.
    pub home: TempDir,
}

impl World {
    /// Everything up, with the settings of the deployment and these.
    pub async fn with(database: &PgConnectOptions, settings: &[(&str, &str)]) -> Self {
        let place = Place::new().await;
        let registry = Registry::start(&cluster::host());
        let home = tempfile::tempdir().expect("a temporary folder");
        let kubeconfig = home.path().join("kubeconfig");
        place.service_kubeconfig(&kubeconfig, None).await;
        let path = |path: PathBuf| path.to_str().expect("a path is text").to_owned();
        let (kubeconfig, contexts) = (path(kubeconfig), path(home.path().join("contexts")));
        let mut all = vec![
            ("SLIPWAY_DATABASE_URL", url(database)),
            ("SLIPWAY_NAMESPACE", place.namespace.clone()),
            ("SLIPWAY_EXECUTOR_IMAGE", cluster::executor_image()),
            ("SLIPWAY_FETCHER_IMAGE", cluster::fetcher_image()),
            ("SLIPWAY_IMAGE_PULL_POLICY", "IfNotPresent".to_owned()),
            ("SLIPWAY_SERVICE_ACCOUNT", "slipway-build".to_owned()),
            ("SLIPWAY_INSECURE_REGISTRIES", registry.host.clone()),
            ("SLIPWAY_CONTEXT_STORE", contexts),
            ("KUBECONFIG", kubeconfig),
        ];
        for (key, value) in settings {
            all.retain(|(known, _)| known != key);
            all.push((key, (*value).to_owned()));
        }
        let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut service = Service::new("slipway", &all);
        service.up().await;
        Self {
            place,
            registry,
            service,
            home,
        }
    }

    /// The article's way: the context on a claim. Returns the request's source.
    pub async fn volume(&mut self, dockerfile: &str) -> Value {
        let folder = self.home.path().join("volume/my-build");
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join("Dockerfile"), dockerfile).expect("the file can be written");
        fs::copy("/bin/busybox", folder.join("busybox")).expect("busybox is installed");
        let volume = self.home.path().join("volume");
        self.place.claim("contexts", &volume).await;
        json!({ "volume": { "claim": "contexts", "path": "my-build" } })
    }

    /// A request for `team/app:1` of this world's registry.
    pub fn request(&self, source: &Value) -> Value {
        json!({
            "project": "test", "source": source,
            "destinations": [format!("{}/team/app:1", self.registry.host)],
        })
    }
}

fn url(database: &PgConnectOptions) -> String {
    let mut url: url::Url = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL names the server")
        .parse()
        .expect("DATABASE_URL is a URL");
    url.set_path(database.get_database().expect("a test has a database"));
    url.into()
}
