//! A namespace of its own for each test, a registry on this machine, and the part of the dispatcher that acts on what
//! the launcher sees.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, ResourceQuota},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Deserialize, de::DeserializeOwned};
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

/// One test's world.
pub struct World {
    pub client: Client,
    pub options: KubernetesOptions,
    pub launcher: Arc<Kubernetes>,
    pub registry: Registry,
    home: TempDir,
    volumes: Vec<String>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut KubernetesOptions)) -> Self {
        let client = client().await;
        let namespace = format!("slipway-test-{}", BuildId::generate());
        let labels = json!({ "pod-security.kubernetes.io/enforce": "baseline" });
        let made: Namespace = object(json!({ "metadata": { "name": namespace, "labels": labels } }));
        Api::all(client.clone())
            .create(&PostParams::default(), &made)
            .await
            .unwrap();
        let registry = Registry::start();
        let mut options = KubernetesOptions {
            namespace,
            ..KubernetesOptions::default()
        };
        options.image_pull_policy = Some("IfNotPresent".into());
        options.kaniko.insecure_registries = vec![registry.host.clone()];
        options.resources.cpu_request = "50m".into();
        options.kaniko.image = contract("SLIPWAY_TEST_EXECUTOR_IMAGE");
        if options.kaniko.image.contains("standin") {
            // It unpacks into a folder and runs there; kaniko needs no such right.
            options.extra_capabilities = vec!["SYS_CHROOT".into()];
        }
        change(&mut options);
        grant(&client, &options.namespace).await;
        let launcher = Arc::new(Kubernetes::new(dispatchers_client().await, options.clone()));
        wait_for_service_account(&client, &options.namespace).await;
        Self {
            client,
            options,
            launcher,
            registry,
            home: tempfile::tempdir().unwrap(),
            volumes: Vec::new(),
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }

    pub async fn create<K>(&self, body: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        self.api::<K>()
            .create(&PostParams::default(), &object(body))
            .await
            .unwrap()
    }

    /// A quota that is in force.
    pub async fn quota(&self, what: &str, amount: &str) {
        let quota = json!({ "metadata": { "name": "quota" }, "spec": { "hard": { what: amount } } });
        self.create::<ResourceQuota>(quota).await;
        let in_force = |quota: Option<&ResourceQuota>| {
            quota
                .and_then(|quota| quota.status.as_ref())
                .is_some_and(|status| status.hard.is_some())
        };
        kube::runtime::wait::await_condition(self.api::<ResourceQuota>(), "quota", in_force)
            .await
            .unwrap();
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
        // The pod's root may be none on this machine.
        fs::set_permissions(self.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        self.bind(name, &folder).await;
    }

    async fn bind(&mut self, name: &str, folder: &Path) {
        let volume = format!("{}-{name}", self.options.namespace);
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "capacity": { "storage": "1Gi" }, "hostPath": { "path": folder },
        });
        let persistent: PersistentVolume = object(json!({ "metadata": { "name": volume }, "spec": spec }));
        Api::all(self.client.clone())
            .create(&PostParams::default(), &persistent)
            .await
            .unwrap();
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
            "resources": { "requests": { "storage": "1Gi" } },
        });
        self.create::<PersistentVolumeClaim>(json!({ "metadata": { "name": name }, "spec": spec }))
            .await;
        self.volumes.push(volume);
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

    pub async fn close(self) {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces
            .delete(&self.options.namespace, &DeleteParams::background())
            .await
            .unwrap();
        for volume in &self.volumes {
            let volumes = Api::<PersistentVolume>::all(self.client.clone());
            volumes.delete(volume, &DeleteParams::background()).await.unwrap();
        }
    }
}

pub fn object<K: DeserializeOwned>(body: Value) -> K {
    serde_json::from_value(body).unwrap()
}

/// Credentials as in the article, from a claim.
pub fn config_on_a_claim(options: &mut KubernetesOptions) {
    options.registry_credentials = Some(RegistryCredentials::Claim("docker-config".into()));
}

/// What scripts/test-cluster.sh says of the cluster.
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

async fn client() -> Client {
    Client::try_from(config().await).unwrap()
}

/// With the rights that deploy/kubernetes/rbac.yaml grants, and no others.
async fn dispatchers_client() -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some("system:serviceaccount:slipway:slipway".into());
    Client::try_from(config).unwrap()
}

async fn config() -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(contract("SLIPWAY_TEST_KUBECONFIG")).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// The deployment's Role and RoleBinding, in this namespace.
async fn grant(client: &Client, namespace: &str) {
    let documents = serde_yaml_ng::Deserializer::from_str(include_str!("../../deploy/kubernetes/rbac.yaml"));
    for document in documents {
        let mut body = Value::deserialize(document).unwrap();
        let metadata = body["metadata"].as_object_mut().unwrap();
        metadata.insert("namespace".into(), namespace.into());
        match body["kind"].as_str() {
            Some("Role") => create_in::<Role>(client, namespace, body).await,
            Some("RoleBinding") => create_in::<RoleBinding>(client, namespace, body).await,
            _ => {}
        }
    }
}

async fn create_in<K>(client: &Client, namespace: &str, body: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    Api::<K>::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &object(body))
        .await
        .unwrap();
}

/// Pods are refused until their ServiceAccount is there.
async fn wait_for_service_account(client: &Client, namespace: &str) {
    let accounts = Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(client.clone(), namespace);
    let exists = |found: Option<&k8s_openapi::api::core::v1::ServiceAccount>| found.is_some();
    kube::runtime::wait::await_condition(accounts, "default", exists)
        .await
        .unwrap();
}

/// A registry on this machine, for one test.
pub struct Registry {
    /// As pods reach it.
    pub host: String,
    process: Child,
    _data: TempDir,
}

impl Registry {
    fn start() -> Self {
        let port = TcpListener::bind("0.0.0.0:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("config.yml");
        let storage = data.path().join("data");
        fs::write(
            &config,
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 0.0.0.0:{port}\n", storage.display()),
        )
        .unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        Self {
            host: format!("{}:{port}", host()),
            process,
            _data: data,
        }
    }

    /// The digest that the registry has under a tag.
    pub async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let port = self.host.rsplit_once(':').unwrap().1;
        let url = format!("http://127.0.0.1:{port}/v2/{repository}/manifests/{tag}");
        let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
        let answer = reqwest::Client::new()
            .head(url)
            .header("accept", accept)
            .send()
            .await
            .ok()?;
        Some(
            answer
                .headers()
                .get("docker-content-digest")?
                .to_str()
                .ok()?
                .to_owned(),
        )
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The names of a build's pods that there are.
pub async fn pods(world: &World, id: BuildId) -> Vec<String> {
    let selector = slipway::launcher::manifest::build_selector(id);
    let params = kube::api::ListParams::default().labels(&selector);
    let pods = world
        .api::<k8s_openapi::api::core::v1::Pod>()
        .list(&params)
        .await
        .unwrap();
    pods.iter().map(ResourceExt::name_any).collect()
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
