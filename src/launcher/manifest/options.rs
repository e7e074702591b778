//! What the operator says about the Jobs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;

use crate::{domain::archive::Limits, launcher::kaniko_args::KanikoOptions};

/// How builds become Jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct KubernetesOptions {
    /// The kubeconfig's context; inside a cluster, and where the kubeconfig names one, it may be absent.
    pub context: Option<String>,
    /// The namespace that the Jobs live in.
    pub namespace: String,
    /// What kaniko is told.
    pub kaniko: KanikoOptions,
    /// Our own image, whose `slipway fetch-context` fetches uploaded contexts.
    pub fetcher_image: String,
    /// `Always`, `IfNotPresent` or `Never`; by the image's tag when absent.
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling kaniko's and our own image.
    pub image_pull_secrets: Vec<String>,
    /// Where the pods find the registry's credentials.
    pub registry_credentials: Option<RegistryCredentials>,
    /// Credentials for git hosts.
    pub git_credentials: Option<GitCredentials>,
    /// A Secret whose entries become the environment of builds from object stores (`AWS_ACCESS_KEY_ID`, …).
    pub object_store_secret: Option<String>,
    /// The pods' ServiceAccount. Its token is not mounted.
    pub service_account: Option<String>,
    /// What the containers may use.
    pub resources: ResourceOptions,
    /// What a fetched context may hold.
    pub context_limits: Limits,
    /// Capabilities besides kaniko's own set.
    pub extra_capabilities: Vec<String>,
    /// Variables for kaniko besides our own, such as a proxy's address.
    pub extra_env: BTreeMap<String, String>,
    /// Labels for Jobs and Pods; ours win.
    pub labels: BTreeMap<String, String>,
    /// Annotations for Jobs and Pods.
    pub annotations: BTreeMap<String, String>,
    /// Labels that the node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    pub tolerations: Vec<Toleration>,
    /// The pods' RuntimeClass, such as gVisor's.
    pub runtime_class: Option<String>,
    /// The pods' PriorityClass.
    pub priority_class: Option<String>,
    /// Whether the pods get a user namespace of their own, so that their root is nobody on the node.
    pub user_namespaces: bool,
    /// Whether the pods run under the container runtime's seccomp profile. Off only for runtimes that have none.
    pub seccomp: bool,
    /// Whether a step may gain rights by set-uid programs, as `sudo` does.
    pub privilege_escalation: bool,
    /// How long a pod may wait for its first container, in seconds: only the Job's backstop is reckoned from it.
    pub pending_seconds: u32,
    /// After how many seconds Kubernetes deletes a finished Job that we did not delete.
    pub ttl_seconds: u32,
    /// Seconds after which the API server ends a watch, which is then restarted. A watch without any event for 5 s
    /// longer counts as dead (kube-runtime's `WATCH_IDLE_TIMEOUT_MARGIN`).
    pub watch_seconds: u32,
}

impl Default for KubernetesOptions {
    fn default() -> Self {
        Self {
            context: None,
            namespace: "slipway-builds".to_owned(),
            kaniko: KanikoOptions::default(),
            fetcher_image: concat!("ghcr.io/slipway-build/slipway:", env!("CARGO_PKG_VERSION")).to_owned(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            registry_credentials: None,
            git_credentials: None,
            object_store_secret: None,
            service_account: None,
            resources: ResourceOptions::default(),
            context_limits: Limits::default(),
            extra_capabilities: Vec::new(),
            extra_env: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            runtime_class: None,
            priority_class: None,
            user_namespaces: false,
            seccomp: true,
            privilege_escalation: false,
            pending_seconds: 600,
            ttl_seconds: 86_400,
            watch_seconds: 60,
        }
    }
}

/// Where a build's pod finds `config.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// In a Secret of type `kubernetes.io/dockerconfigjson`.
    Secret(String),
    /// As the file `config.json` on a PersistentVolumeClaim.
    Claim(String),
}

/// Credentials for git hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCredentials {
    /// A Secret with `token`, or with `username` and `password`.
    pub secret: String,
    /// The hosts that may see them, each exactly as the URL names it: `host` or `host:port`.
    pub hosts: Vec<String>,
}

/// What containers ask for and may use, as Kubernetes writes quantities. A request's own `resources` take the place
/// of both for CPU and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceOptions {
    /// CPU that is set aside.
    pub cpu_request: String,
    /// CPU that may be used.
    pub cpu_limit: String,
    /// Memory that is set aside.
    pub memory_request: String,
    /// Memory that may be used.
    pub memory_limit: String,
    /// Disk that is set aside: the unpacked base image, the stages, the layers.
    pub disk_request: String,
    /// Disk that may be used.
    pub disk_limit: String,
    /// Disk that a fetched context may use.
    pub context_limit: String,
}

impl Default for ResourceOptions {
    fn default() -> Self {
        let amounts = ["250m", "2", "512Mi", "2Gi", "1Gi", "20Gi", "10Gi"].map(str::to_owned);
        let [
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
            disk_request,
            disk_limit,
            context_limit,
        ] = amounts;
        Self {
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
            disk_request,
            disk_limit,
            context_limit,
        }
    }
}
