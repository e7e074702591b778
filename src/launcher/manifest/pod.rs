//! Creates the pod of a build's Job: kaniko is alone in its container and has the fewest rights that it can
//! work with.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, EnvVar, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
        ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::{KubernetesOptions, context, credentials, isolated, secrets};
use crate::{
    domain::settings::PushMode,
    launcher::{
        LaunchError, Order,
        kaniko_args::{kaniko_args, kaniko_env},
        outcome::KANIKO_CONTAINER,
    },
};

/// Path of the container's termination message, by which the digest is reported.
pub(super) const TERMINATION_LOG: &str = "/dev/termination-log";

/// Capabilities that unpacking images and running their steps require; Shipwright grants the same.
const CAPABILITIES: [&str; 7] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "KILL",
];

pub(super) fn template(
    order: &Order,
    options: &KubernetesOptions,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> Result<PodTemplateSpec, LaunchError> {
    Ok(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(order, options)?),
    })
}

/// Containers that build and push, and the volumes that they add.
pub(super) struct Containers {
    pub(super) init: Option<Container>,
    pub(super) main: Container,
    pub(super) volumes: Vec<Volume>,
}

fn spec(order: &Order, options: &KubernetesOptions) -> Result<PodSpec, LaunchError> {
    let context = context::context(order, options)?;
    let secrets = secrets::secrets(order)?;
    let inputs = context.mount.into_iter().chain(secrets.mount).collect();
    let containers = match order.project.push_mode {
        PushMode::Direct => direct(order, options, inputs),
        PushMode::Isolated => isolated::containers(order, options, inputs),
    };
    let volumes = context.volume.into_iter().chain(secrets.volume);
    let inits = context.fetcher.into_iter().chain(containers.init);
    let pull_secrets = options.image_pull_secrets.iter().cloned();
    let seccomp = options.seccomp.then(|| SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    });
    Ok(PodSpec {
        restart_policy: Some("Never".to_owned()),
        // The Job's own deadline would delete pod and log.
        active_deadline_seconds: Some(i64::from(order.spec.timeout_seconds.get())),
        // kaniko does not react to signals, so a longer grace period would always pass in full.
        termination_grace_period_seconds: Some(5),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: options.service_account.clone(),
        host_users: options.user_namespaces.then_some(false),
        runtime_class_name: options.runtime_class.clone(),
        priority_class_name: options.priority_class.clone(),
        node_selector: some_map(&options.node_selector),
        tolerations: some_list(options.tolerations.clone()),
        image_pull_secrets: some_list(pull_secrets.map(|name| LocalObjectReference { name }).collect()),
        security_context: seccomp.map(|profile| PodSecurityContext {
            seccomp_profile: Some(profile),
            ..PodSecurityContext::default()
        }),
        init_containers: some_list(inits.collect()),
        volumes: some_list(volumes.chain(containers.volumes).collect()),
        containers: vec![containers.main],
        ..PodSpec::default()
    })
}

/// Creates one container that both builds and pushes.
fn direct(order: &Order, options: &KubernetesOptions, inputs: Vec<VolumeMount>) -> Containers {
    let credentials = credentials::push(order, options);
    let args = kaniko_args(&order.spec, &options.kaniko, TERMINATION_LOG);
    let mounts = inputs.into_iter().chain(credentials.mount);
    Containers {
        init: None,
        main: Container {
            volume_mounts: some_list(mounts.collect()),
            ..builder(KANIKO_CONTAINER, order, options, &args)
        },
        volumes: credentials.volume.into_iter().collect(),
    }
}

/// Creates the container that executes the Dockerfile.
pub(super) fn builder(name: &str, order: &Order, options: &KubernetesOptions, args: &[String]) -> Container {
    let ours = kaniko_env(&order.spec)
        .into_iter()
        .map(|(name, value)| literal(name, value));
    let extra = options.extra_env.iter().map(|(name, value)| literal(name, value));
    let git = credentials::git(order, options);
    let added = options.extra_capabilities.iter().map(String::as_str);
    Container {
        name: name.to_owned(),
        image: Some(options.kaniko.image.clone()),
        image_pull_policy: options.image_pull_policy.clone(),
        args: Some(args.iter().map(|arg| verbatim(arg)).collect()),
        env: Some(extra.chain(ours).chain(git).collect()),
        env_from: credentials::object_store(&order.spec.source, options).map(|source| vec![source]),
        resources: Some(resources(order, options)),
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        // If the log is lost with its node, its end is still in the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            // kaniko unpacks images over its own root file system and sets the owners of their files.
            run_as_user: Some(0),
            allow_privilege_escalation: Some(options.privilege_escalation),
            ..least_rights(CAPABILITIES.into_iter().chain(added))
        }),
        ..Container::default()
    }
}

/// Returns a security context without privileges, and with only these capabilities.
pub(super) fn least_rights<'a>(capabilities: impl Iterator<Item = &'a str>) -> SecurityContext {
    SecurityContext {
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: some_list(capabilities.map(str::to_owned).collect()),
        }),
        ..SecurityContext::default()
    }
}

/// Returns the requests and limits, which are always set: without them one build takes the node's memory from
/// all others. The build's own values come first, then the project's, then the operator's.
pub(super) fn resources(order: &Order, options: &KubernetesOptions) -> ResourceRequirements {
    let (asked, settled) = (&order.spec.resources, &order.project.default_resources);
    let cpu = asked
        .cpu
        .as_ref()
        .or(settled.cpu.as_ref())
        .map(|cpu| cpu.as_str());
    let memory = asked.memory.as_ref().or(settled.memory.as_ref());
    let memory = memory.map(|memory| memory.as_str());
    let options = &options.resources;
    amounts(
        [
            cpu.unwrap_or(&options.cpu_request),
            memory.unwrap_or(&options.memory_request),
            &options.disk_request,
        ],
        [
            cpu.unwrap_or(&options.cpu_limit),
            memory.unwrap_or(&options.memory_limit),
            &options.disk_limit,
        ],
    )
}

/// Returns the requests and limits for these amounts of CPU, memory and disk.
pub(super) fn amounts(requests: [&str; 3], limits: [&str; 3]) -> ResourceRequirements {
    let quantities = |amounts: [&str; 3]| {
        let names = ["cpu", "memory", "ephemeral-storage"];
        let pairs = names.into_iter().zip(amounts);
        Some(
            pairs
                .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        claims: None,
    }
}

/// Returns a variable with exactly this value.
pub(super) fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(verbatim(value)),
        value_from: None,
    }
}

/// Escapes `$`. Kubernetes replaces `$(NAME)` in arguments and variables with the container's own variables,
/// credentials among them, but a caller's text must arrive unchanged.
pub(super) fn verbatim(text: &str) -> String {
    text.replace('$', "$$")
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
