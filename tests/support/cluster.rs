//! The cluster that tests run on, as `make test-cluster` names it, and places of a test's own on it.
//!
//! `SLIPWAY_TEST_KUBECONFIG`: an administrator's kubeconfig. `SLIPWAY_TEST_HOST`: the address at which pods reach this
//! machine. `SLIPWAY_TEST_EXECUTOR_IMAGE`, `SLIPWAY_TEST_FETCHER_IMAGE`: the images, as the nodes have them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs, path::Path};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, ServiceAccount},
    },
};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use slipway::domain::BuildId;

/// What a user applies, but for the service itself, which runs as a process of the test's.
const MANIFESTS: [&str; 4] = [
    include_str!("../../deploy/kubernetes/namespaces.yaml"),
    include_str!("../../deploy/kubernetes/rbac.yaml"),
    include_str!("../../deploy/kubernetes/network.yaml"),
    include_str!("../../deploy/kubernetes/limits.yaml"),
];
/// The builds' namespace, as the manifests name it.
const BUILDS: &str = "slipway-builds";
/// The service's own namespace and ServiceAccount.
const SERVICE: &str = "slipway";

/// The address at which pods reach this machine.
pub fn host() -> String {
    std::env::var("SLIPWAY_TEST_HOST").unwrap_or_else(|_| "10.213.0.1".into())
}

/// The executor's image.
pub fn executor_image() -> String {
    std::env::var("SLIPWAY_TEST_EXECUTOR_IMAGE")
        .unwrap_or_else(|_| slipway::launcher::kaniko_args::KanikoOptions::default().image)
}

/// Our own image.
pub fn fetcher_image() -> String {
    std::env::var("SLIPWAY_TEST_FETCHER_IMAGE").unwrap_or_else(|_| "slipway:test".into())
}

/// An administrator's configuration.
pub async fn config() -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Config::from_custom_kubeconfig(kubeconfig(), &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig is usable")
}

/// An administrator's client.
pub async fn client() -> Client {
    Client::try_from(config().await).expect("the kubeconfig is usable")
}

fn kubeconfig() -> Kubeconfig {
    let path = std::env::var("SLIPWAY_TEST_KUBECONFIG").expect("SLIPWAY_TEST_KUBECONFIG names a kubeconfig");
    Kubeconfig::read_from(path).expect("the kubeconfig can be read")
}

/// What JSON describes, as the type that Kubernetes has for it.
pub fn object<K: DeserializeOwned>(body: Value) -> K {
    serde_json::from_value(body).expect("the object is of its kind")
}

/// A builds' namespace of a test's own, made by the deployment's manifests.
pub struct Place {
    /// An administrator's client.
    pub client: Client,
    /// The builds' namespace.
    pub namespace: String,
    volumes: Vec<String>,
}

impl Place {
    /// Applies the manifests under a name of its own.
    pub async fn new() -> Self {
        let client = client().await;
        let namespace = format!("slipway-test-{}", BuildId::generate());
        for manifest in MANIFESTS {
            apply(&client, &manifest.replace(BUILDS, &namespace)).await;
        }
        let place = Self {
            client,
            namespace,
            volumes: Vec::new(),
        };
        // Pods are refused until their ServiceAccount is there.
        let exists = |found: Option<&ServiceAccount>| found.is_some();
        kube::runtime::wait::await_condition(place.api::<ServiceAccount>(), "default", exists)
            .await
            .expect("the API server answers");
        place
    }

    /// The resources of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates what the JSON describes.
    pub async fn create<K>(&self, body: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        self.api::<K>()
            .create(&PostParams::default(), &object(body))
            .await
            .expect("it is created")
    }

    /// Writes a kubeconfig with the token of the service's ServiceAccount, and nothing more, at `path`; it leads to
    /// `server`, or to the API server itself.
    pub async fn service_kubeconfig(&self, path: &Path, server: Option<&str>) {
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), SERVICE);
        let wish = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(7200),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let granted = accounts
            .create_token_request(SERVICE, &PostParams::default(), &wish)
            .await
            .expect("the ServiceAccount has a token");
        let token = granted.status.expect("a granted token").token;
        let mut cluster = serde_json::to_value(&kubeconfig().clusters[0].cluster).expect("it is JSON");
        if let Some(server) = server {
            cluster["server"] = json!(server);
            if server.starts_with("http://") {
                let fields = cluster.as_object_mut().expect("it is an object");
                fields.remove("certificate-authority-data");
                fields.remove("certificate-authority");
            }
        }
        let written = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        });
        fs::write(path, written.to_string()).expect("the kubeconfig can be written");
    }

    /// A claim in the namespace on a folder of this machine.
    pub async fn claim(&mut self, name: &str, folder: &Path) {
        let volume = format!("{}-{name}", self.namespace);
        let capacity = json!({ "storage": "1Gi" });
        let persistent: PersistentVolume = object(json!({
            "metadata": { "name": volume },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "", "capacity": capacity,
                "hostPath": { "path": folder },
            },
        }));
        Api::all(self.client.clone())
            .create(&PostParams::default(), &persistent)
            .await
            .expect("the volume is created");
        self.create::<PersistentVolumeClaim>(json!({
            "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
                "resources": { "requests": capacity },
            },
        }))
        .await;
        self.volumes.push(volume);
    }

    /// Removes everything of the test's.
    pub async fn close(self) {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
            .expect("the namespace can be deleted");
        for volume in &self.volumes {
            let volumes = Api::<PersistentVolume>::all(self.client.clone());
            volumes
                .delete(volume, &DeleteParams::background())
                .await
                .expect("the volume can be deleted");
        }
    }
}

/// Applies the documents of a manifest, as `kubectl apply --server-side` does.
async fn apply(client: &Client, manifest: &str) {
    for document in serde_yaml_ng::Deserializer::from_str(manifest) {
        let object = DynamicObject::deserialize(document).expect("the manifest's documents are objects");
        let types = object.types.as_ref().expect("a document names its kind");
        let kind = GroupVersionKind::try_from(types).expect("a document names its kind");
        let (resource, _) = kube::discovery::pinned_kind(client, &kind)
            .await
            .expect("the cluster knows the kind");
        let name = object.metadata.name.as_deref().expect("a document has a name");
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let owner = PatchParams::apply("slipway-test").force();
        // The service's own namespace is shared by all tests, and may just have been made by another one.
        api.patch(name, &owner, &Patch::Apply(&object))
            .await
            .unwrap_or_else(|error| panic!("{} {name} is not taken: {error}", kind.kind));
    }
}
