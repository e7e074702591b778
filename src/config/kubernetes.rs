//! Settings of the launcher for Kubernetes.

use clap::Args;
use k8s_openapi::api::core::v1::Toleration;

use super::{DispatchArgs, KanikoArgs, value};
use crate::launcher::manifest::{GitCredentials, KubernetesOptions, RegistryCredentials, ResourceOptions};

/// Settings for builds as Jobs (--launcher=kubernetes).
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// The kubeconfig's context [default: its current one; inside a cluster, the pod's ServiceAccount]
    #[arg(long, env = "SLIPWAY_KUBE_CONTEXT", value_name = "NAME")]
    pub kube_context: Option<String>,

    /// The namespace of the Jobs
    #[arg(long, env = "SLIPWAY_NAMESPACE", default_value_t = KubernetesOptions::default().namespace, value_name = "NAME")]
    pub namespace: String,

    /// The image of Slipway, whose `slipway fetch-context` fetches uploaded contexts
    #[arg(long, env = "SLIPWAY_FETCHER_IMAGE", default_value_t = KubernetesOptions::default().fetcher_image, value_name = "IMAGE")]
    pub fetcher_image: String,

    /// The pull policy of the images [default: by their tags]
    #[arg(long, env = "SLIPWAY_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: Option<String>,

    /// Secrets for pulling the executor's image and Slipway's, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_IMAGE_PULL_SECRETS",
        value_delimiter = ',',
        value_name = "SECRET"
    )]
    pub image_pull_secret: Vec<String>,

    /// A Secret of type kubernetes.io/dockerconfigjson with the registries' credentials
    #[arg(
        long,
        env = "SLIPWAY_REGISTRY_SECRET",
        value_name = "SECRET",
        conflicts_with = "registry_claim"
    )]
    pub registry_secret: Option<String>,

    /// A PersistentVolumeClaim with the registries' credentials as the file config.json
    #[arg(long, env = "SLIPWAY_REGISTRY_CLAIM", value_name = "CLAIM")]
    pub registry_claim: Option<String>,

    /// A Secret with `token`, or `username` and `password`, for the git hosts of --git-host
    #[arg(
        long,
        env = "SLIPWAY_GIT_SECRET",
        value_name = "SECRET",
        requires = "git_host"
    )]
    pub git_secret: Option<String>,

    /// The hosts that may receive --git-secret, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_GIT_HOSTS",
        value_delimiter = ',',
        value_name = "HOST[:PORT]",
        requires = "git_secret"
    )]
    pub git_host: Vec<String>,

    /// A Secret whose entries become environment variables of builds from S3, Google Cloud Storage and Azure
    #[arg(long, env = "SLIPWAY_OBJECT_STORE_SECRET", value_name = "SECRET")]
    pub object_store_secret: Option<String>,

    /// The pods' ServiceAccount; its token is not mounted
    #[arg(long, env = "SLIPWAY_SERVICE_ACCOUNT", value_name = "NAME")]
    pub service_account: Option<String>,

    /// Labels that the node must have, separated by commas
    #[arg(long, env = "SLIPWAY_NODE_SELECTOR", value_delimiter = ',', value_parser = value::pair, value_name = "KEY=VALUE")]
    pub node_selector: Vec<(String, String)>,

    /// Taints that the pods tolerate, separated by commas
    #[arg(long, env = "SLIPWAY_TOLERATIONS", value_delimiter = ',', value_parser = value::toleration, value_name = "KEY[=VALUE][:EFFECT]")]
    pub toleration: Vec<Toleration>,

    /// Labels for Jobs and Pods, separated by commas
    #[arg(long, env = "SLIPWAY_JOB_LABELS", value_delimiter = ',', value_parser = value::pair, value_name = "KEY=VALUE")]
    pub job_label: Vec<(String, String)>,

    /// Annotations for Jobs and Pods, separated by commas
    #[arg(long, env = "SLIPWAY_JOB_ANNOTATIONS", value_delimiter = ',', value_parser = value::pair, value_name = "KEY=VALUE")]
    pub job_annotation: Vec<(String, String)>,

    /// Environment variables for kaniko, such as a proxy's address, separated by commas
    #[arg(long, env = "SLIPWAY_EXECUTOR_ENV", value_delimiter = ',', value_parser = value::pair, value_name = "NAME=VALUE")]
    pub executor_env: Vec<(String, String)>,

    /// Further capabilities besides kaniko's own, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_CAPABILITIES",
        value_delimiter = ',',
        value_name = "CAPABILITY"
    )]
    pub capability: Vec<String>,

    /// The pods' RuntimeClass, such as gVisor's
    #[arg(long, env = "SLIPWAY_RUNTIME_CLASS", value_name = "NAME")]
    pub runtime_class: Option<String>,

    /// The pods' PriorityClass
    #[arg(long, env = "SLIPWAY_PRIORITY_CLASS", value_name = "NAME")]
    pub priority_class: Option<String>,

    /// Give each pod a user namespace of its own (hostUsers: false)
    #[arg(long, env = "SLIPWAY_USER_NAMESPACES", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub user_namespaces: bool,

    /// Run the pods under the container runtime's seccomp profile, which a nested or unusual runtime may lack
    #[arg(long, env = "SLIPWAY_SECCOMP", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub seccomp: bool,

    /// Allow steps to gain privileges by set-uid programs such as sudo (allowPrivilegeEscalation)
    #[arg(long, env = "SLIPWAY_PRIVILEGE_ESCALATION", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub privilege_escalation: bool,

    /// The CPU request and limit of a build that names no CPU
    #[arg(long, env = "SLIPWAY_CPU", default_value_t = defaults(|r| (&r.cpu_request, &r.cpu_limit)), value_name = "REQUEST:LIMIT")]
    pub cpu: String,

    /// The memory request and limit of a build that names no memory
    #[arg(long, env = "SLIPWAY_MEMORY", default_value_t = defaults(|r| (&r.memory_request, &r.memory_limit)), value_name = "REQUEST:LIMIT")]
    pub memory: String,

    /// The disk request and limit of a build, for the unpacked base image, the stages and the layers
    #[arg(long, env = "SLIPWAY_DISK", default_value_t = defaults(|r| (&r.disk_request, &r.disk_limit)), value_name = "REQUEST:LIMIT")]
    pub disk: String,

    /// The time in seconds that the API server keeps a watch open. Hidden: for tests of broken watches only
    #[arg(long, env = "SLIPWAY_WATCH_SECONDS", hide = true, default_value_t = KubernetesOptions::default().watch_seconds, value_parser = clap::value_parser!(u32).range(1..=290), value_name = "SECONDS")]
    pub watch_seconds: u32,
}

fn defaults(pick: impl Fn(&ResourceOptions) -> (&String, &String)) -> String {
    let resources = ResourceOptions::default();
    let (request, limit) = pick(&resources);
    format!("{request}:{limit}")
}

/// Splits `request:limit`; a single amount stands for both.
fn amounts(text: &str) -> (String, String) {
    let (request, limit) = text.split_once(':').unwrap_or((text, text));
    (request.to_owned(), limit.to_owned())
}

impl KubernetesArgs {
    /// Returns the options of the launcher.
    pub fn options(&self, kaniko: &KanikoArgs, dispatch: &DispatchArgs) -> KubernetesOptions {
        let pending = dispatch.pending_deadline.as_secs();
        KubernetesOptions {
            context: self.kube_context.clone(),
            namespace: self.namespace.clone(),
            kaniko: kaniko.options(),
            fetcher_image: self.fetcher_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            image_pull_secrets: self.image_pull_secret.clone(),
            registry_credentials: self.registry_credentials(),
            git_credentials: self.git_secret.clone().map(|secret| GitCredentials {
                secret,
                hosts: self.git_host.clone(),
            }),
            object_store_secret: self.object_store_secret.clone(),
            service_account: self.service_account.clone(),
            resources: self.resources(),
            extra_capabilities: self.capability.clone(),
            extra_env: self.executor_env.iter().cloned().collect(),
            labels: self.job_label.iter().cloned().collect(),
            annotations: self.job_annotation.iter().cloned().collect(),
            node_selector: self.node_selector.iter().cloned().collect(),
            tolerations: self.toleration.clone(),
            runtime_class: self.runtime_class.clone(),
            priority_class: self.priority_class.clone(),
            user_namespaces: self.user_namespaces,
            seccomp: self.seccomp,
            privilege_escalation: self.privilege_escalation,
            pending_seconds: u32::try_from(pending).unwrap_or(u32::MAX),
            watch_seconds: self.watch_seconds,
            ..KubernetesOptions::default()
        }
    }

    fn registry_credentials(&self) -> Option<RegistryCredentials> {
        let secret = self.registry_secret.clone().map(RegistryCredentials::Secret);
        secret.or_else(|| self.registry_claim.clone().map(RegistryCredentials::Claim))
    }

    fn resources(&self) -> ResourceOptions {
        let (cpu_request, cpu_limit) = amounts(&self.cpu);
        let (memory_request, memory_limit) = amounts(&self.memory);
        let (disk_request, disk_limit) = amounts(&self.disk);
        ResourceOptions {
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
            disk_request,
            disk_limit,
            ..ResourceOptions::default()
        }
    }
}
