//! The cluster that tests run on, as `make test-cluster` names it, and places of a test's own on it.
//!
//! `SLIPWAY_TEST_KUBECONFIG`: an administrator's kubeconfig. `SLIPWAY_TEST_HOST`: the address at which pods reach this
//! machine. `SLIPWAY_TEST_EXECUTOR_IMAGE`, `SLIPWAY_TEST_FETCHER_IMAGE`: the images, as the nodes have them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs, path::Path, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota, ServiceAccount},
    },
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    runtime::wait::Condition,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use slipway::{domain::BuildId, launcher::manifest::build_selector};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// What `scripts/test-cluster.sh` says of the cluster.
pub fn contract(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("{name} is not set: make test-cluster sets it"),
    }
}

/// The address at which pods reach this machine.
pub fn host() -> String {
    contract("SLIPWAY_TEST_HOST")
}

/// The executor's image.
pub fn executor_image() -> String {
    contract("SLIPWAY_TEST_EXECUTOR_IMAGE")
}

/// Whether the executor is the stand-in, which has no layer cache and knows no archives behind HTTPS.
pub fn is_standin() -> bool {
    executor_image().contains("standin")
}

/// Our own image.
pub fn fetcher_image() -> String {
    contract("SLIPWAY_TEST_FETCHER_IMAGE")
}

/// Whether the nodes' processes and images are on this machine: whether the cluster is the one of `make cluster`.
pub fn nodes_are_here() -> bool {
    std::env::var("SLIPWAY_TEST_CLUSTER_HOME").is_ok_and(|home| !home.is_empty())
}

/// An administrator's configuration.
pub async fn config() -> Config {
    super::process::install_crypto_provider();
    Config::from_custom_kubeconfig(kubeconfig(), &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig is usable")
}

/// An administrator's client.
pub async fn client() -> Client {
    Client::try_from(config().await).expect("the kubeconfig is usable")
}

fn kubeconfig() -> Kubeconfig {
    Kubeconfig::read_from(contract("SLIPWAY_TEST_KUBECONFIG")).expect("the kubeconfig can be read")
}

/// What JSON describes, as the type that Kubernetes has for it.
pub fn object<K: DeserializeOwned>(body: Value) -> K {
    serde_json::from_value(body).expect("the object is of its kind")
}

/// Longest time in which a controller may do what it does within a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Held for reading by each test that has a place, and for writing by those that do something to the cluster itself.
static CLUSTER: RwLock<()> = RwLock::const_new(());

enum Turn {
    Among(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// A builds' namespace of a test's own, made by the deployment's manifests.
pub struct Place {
    /// An administrator's client.
    pub client: Client,
    /// The builds' namespace.
    pub namespace: String,
    volumes: Vec<String>,
    _turn: Turn,
}

impl Place {
    /// Applies the manifests under a name of its own. A test has one place: for a second one it might wait for a test
    /// that waits for it.
    pub async fn new() -> Self {
        Self::make(Turn::Among(CLUSTER.read().await)).await
    }

    /// The same, once no other test has a place; none gets one before this is gone.
    pub async fn alone() -> Self {
        Self::make(Turn::Alone(CLUSTER.write().await)).await
    }

    async fn make(turn: Turn) -> Self {
        let client = client().await;
        let namespace = format!("slipway-test-{}", BuildId::generate());
        for manifest in MANIFESTS {
            apply(&client, &manifest.replace(BUILDS, &namespace)).await;
        }
        let place = Self {
            client,
            namespace,
            volumes: Vec::new(),
            _turn: turn,
        };
        // Pods are refused until their ServiceAccount is there.
        let exists = |found: Option<&ServiceAccount>| found.is_some();
        becomes(place.api::<ServiceAccount>(), "default", "there", exists).await;
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
        self.claim_on(name, json!({ "hostPath": { "path": folder } }))
            .await;
    }

    /// A claim in the namespace on a volume of its own, which is described by the fields given.
    pub async fn claim_on(&mut self, name: &str, fields: Value) {
        let volume = format!("{}-{name}", self.namespace);
        let capacity = json!({ "storage": "1Gi" });
        // Bound from the start: a claim of another test that names no volume would take any that is free.
        let owner = json!({ "kind": "PersistentVolumeClaim", "namespace": self.namespace, "name": name });
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "capacity": capacity, "claimRef": owner,
        });
        let fields = fields.as_object().expect("fields of a volume").clone();
        spec.as_object_mut().expect("it is an object").extend(fields);
        let persistent: PersistentVolume = object(json!({ "metadata": { "name": volume }, "spec": spec }));
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
        let bound = |claim: Option<&PersistentVolumeClaim>| {
            claim
                .and_then(|claim| claim.status.as_ref()?.phase.as_deref())
                .is_some_and(|phase| phase == "Bound")
        };
        becomes(self.api::<PersistentVolumeClaim>(), name, "bound", bound).await;
    }

    /// Puts the namespace under a quota, and waits until it is in force.
    pub async fn quota(&self, what: &str, amount: &str) {
        let quota = json!({ "metadata": { "name": "quota" }, "spec": { "hard": { what: amount } } });
        self.create::<ResourceQuota>(quota).await;
        let in_force = |quota: Option<&ResourceQuota>| {
            quota
                .and_then(|quota| quota.status.as_ref())
                .is_some_and(|status| status.hard.is_some())
        };
        becomes(self.api::<ResourceQuota>(), "quota", "in force", in_force).await;
    }

    /// The names of a build's pods that there are.
    pub async fn pods(&self, id: BuildId) -> Vec<String> {
        let ours = ListParams::default().labels(&build_selector(id));
        let pods = self.api::<Pod>().list(&ours).await;
        let pods = pods.expect("the API server answers");
        pods.iter().map(ResourceExt::name_any).collect()
    }

    /// Removes everything of the test's.
    pub async fn close(self) {
        remove(&self.client, &self.namespace, &self.volumes).await;
    }
}

impl Drop for Place {
    /// Of a test that failed, too, nothing stays behind.
    fn drop(&mut self) {
        let (namespace, volumes) = (self.namespace.clone(), std::mem::take(&mut self.volumes));
        // A runtime and a client of its own: this may run while the test's is unwinding.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let removal = async { remove(&client().await, &namespace, &volumes).await };
            runtime.expect("a runtime").block_on(removal);
        });
        drop(removal.join());
    }
}

/// Waits until an object meets a condition. One that never does fails its test, instead of keeping all others waiting
/// for it: a test that holds a place is waited for.
async fn becomes<K>(api: Api<K>, name: &str, what: &str, condition: impl Condition<K>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let waiting = kube::runtime::wait::await_condition(api.clone(), name, condition);
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(met) => drop(met.expect("the API server answers")),
        Err(_) => panic!(
            "{} {name} is not {what} after {PATIENCE:?}: {:?}",
            K::kind(&()),
            api.get_opt(name).await
        ),
    }
}

async fn remove(client: &Client, namespace: &str, volumes: &[String]) {
    let background = DeleteParams::background();
    let namespaces = Api::<Namespace>::all(client.clone());
    absent_is_fine(namespaces.delete(namespace, &background).await);
    for volume in volumes {
        let all = Api::<PersistentVolume>::all(client.clone());
        absent_is_fine(all.delete(volume, &background).await);
    }
}

fn absent_is_fine<T>(deleted: kube::Result<T>) {
    match deleted {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => panic!("it cannot be deleted: {error}"),
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
