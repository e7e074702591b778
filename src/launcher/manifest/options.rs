//! The operator's settings for the Jobs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;

use crate::{domain::archive::Limits, launcher::kaniko_args::KanikoOptions};

/// Options of the Kubernetes launcher.
#[derive(Debug, Clone, PartialEq)]
pub struct KubernetesOptions {
    /// Context in the kubeconfig; may be absent inside a cluster, and if the kubeconfig names one.
    pub context: Option<String>,
    /// Namespace of the Jobs.
    pub namespace: String,
    /// Settings for kaniko.
    pub kaniko: KanikoOptions,
    /// Our own image, whose `slipway fetch-context` fetches uploaded contexts.
    pub fetcher_image: String,
    /// `Always`, `IfNotPresent` or `Never`; when absent, the image's tag decides.
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling kaniko's and our own image.
    pub image_pull_secrets: Vec<String>,
    /// The operator's registry credentials.
    pub registry_credentials: Option<RegistryCredentials>,
    /// Credentials for git hosts.
    pub git_credentials: Option<GitCredentials>,
    /// A Secret whose entries become the environment of builds from object stores (`AWS_ACCESS_KEY_ID`, …).
    pub object_store_secret: Option<String>,
    /// The pods' ServiceAccount. Its token is not mounted.
    pub service_account: Option<String>,
    /// Resource requests and limits of the containers.
    pub resources: ResourceOptions,
    /// Limits of a fetched context.
    pub context_limits: Limits,
    /// Capabilities besides kaniko's own set.
    pub extra_capabilities: Vec<String>,
    /// Variables for kaniko besides our own, such as a proxy's address.
    pub extra_env: BTreeMap<String, String>,
    /// Labels for Jobs and Pods; our own labels take precedence.
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
    /// `true` if the pods get a user namespace of their own, so that their root user has no rights on the
    /// node.
    pub user_namespaces: bool,
    /// `true` if the pods run under the container runtime's seccomp profile; `false` only for runtimes that
    /// have none.
    pub seccomp: bool,
    /// `true` if a step may gain rights through set-uid programs such as `sudo`.
    pub privilege_escalation: bool,
    /// Seconds that a pod may wait for its first container. Only the Job's own deadline is calculated from
    /// it.
    pub pending_seconds: u32,
    /// Seconds after which Kubernetes deletes a finished Job that Slipway did not delete.
    pub ttl_seconds: u32,
    /// Seconds after which the API server ends a watch, which is then restarted. A watch without any event
    /// for 5 s longer counts as dead (kube-runtime's `WATCH_IDLE_TIMEOUT_MARGIN`).
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

/// Place of `config.json` for a build's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// A Secret of type `kubernetes.io/dockerconfigjson`.
    Secret(String),
    /// The file `config.json` on a PersistentVolumeClaim.
    Claim(String),
}

/// Credentials for git hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCredentials {
    /// Secret with `token`, or with `username` and `password`.
    pub secret: String,
    /// Hosts that may receive them, each exactly as the URL names it: `host` or `host:port`.
    pub hosts: Vec<String>,
}

/// Resource requests and limits of containers, as Kubernetes quantities. A build's own `resources` take the
/// place of both for CPU and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceOptions {
    /// CPU request.
    pub cpu_request: String,
    /// CPU limit.
    pub cpu_limit: String,
    /// Memory request.
    pub memory_request: String,
    /// Memory limit.
    pub memory_limit: String,
    /// Disk request, for the unpacked base image, the stages and the layers.
    pub disk_request: String,
    /// Disk limit.
    pub disk_limit: String,
    /// Disk limit of a fetched context.
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
