//! Creates a build's Job, as a pure function of the order and the operator's options.

mod context;
mod credentials;
mod isolated;
mod options;
mod pod;
mod secrets;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::{
        Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{LaunchError, Order, pause_after};
use crate::domain::{BuildId, BuildSpec};

pub use options::{GitCredentials, KubernetesOptions, RegistryCredentials, ResourceOptions};

/// Label that distinguishes our Jobs and Pods from others.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "slipway");
/// Label that names the build.
pub const BUILD_ID: &str = "slipway.dev/build-id";
/// Label that names the project.
pub const PROJECT: &str = "slipway.dev/project";
/// Annotation that names the first destination.
pub const DESTINATION: &str = "slipway.dev/destination";

/// Returns the label selector of all our objects.
pub fn selector() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Returns the label selector of the objects of one build.
pub fn build_selector(id: BuildId) -> String {
    format!("{},{BUILD_ID}={id}", selector())
}

/// Creates the Job of a build. Refused only if the build needs an uploaded context and the order grants none,
/// or if it needs a Secret that is not in its project's settings.
pub fn manifest(order: &Order, options: &KubernetesOptions) -> Result<Job, LaunchError> {
    let labels = labels(order, options);
    let annotations = annotations(&order.spec, options);
    let template = pod::template(order, options, labels.clone(), annotations.clone())?;
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(order.id.job_name()),
            namespace: Some(options.namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            parallelism: Some(1),
            completions: Some(1),
            backoff_limit: Some(i32::try_from(order.spec.max_retries.get()).unwrap_or(i32::MAX)),
            active_deadline_seconds: Some(backstop_seconds(&order.spec, options)),
            ttl_seconds_after_finished: Some(i32::try_from(options.ttl_seconds).unwrap_or(i32::MAX)),
            pod_failure_policy: Some(disruptions_are_free()),
            // A new pod starts only after the old one is gone, so that two kanikos never push at once.
            pod_replacement_policy: Some("Failed".to_owned()),
            template,
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn labels(order: &Order, options: &KubernetesOptions) -> BTreeMap<String, String> {
    let ours = [
        (MANAGED_BY.0, MANAGED_BY.1.to_owned()),
        ("app.kubernetes.io/name", "slipway-build".to_owned()),
        (BUILD_ID, order.id.to_string()),
        (PROJECT, order.spec.project.to_string()),
    ];
    let mut labels = options.labels.clone();
    labels.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    labels
}

fn annotations(spec: &BuildSpec, options: &KubernetesOptions) -> BTreeMap<String, String> {
    let defaults = [
        (DESTINATION, spec.destinations.first().to_string()),
        // A build that is moved starts from its beginning, so the autoscalers should wait for it.
        (
            "cluster-autoscaler.kubernetes.io/safe-to-evict",
            "false".to_owned(),
        ),
        ("karpenter.sh/do-not-disrupt", "true".to_owned()),
    ];
    let mut annotations = BTreeMap::from(defaults.map(|(key, value)| (key.to_owned(), value)));
    annotations.extend(options.annotations.clone());
    annotations
}

/// Returns the seconds after which the Job ends in any case, together with its pod and log: twice the time
/// that all attempts can take with their waits. The build's timeout is the pod's deadline.
fn backstop_seconds(spec: &BuildSpec, options: &KubernetesOptions) -> i64 {
    let retries = spec.max_retries.get();
    let attempt = u64::from(spec.timeout_seconds.get()) + u64::from(options.pending_seconds);
    let waits: u64 = (1..=retries).map(|failed| pause_after(failed).as_secs()).sum();
    i64::try_from(2 * (attempt * u64::from(retries + 1) + waits)).unwrap_or(i64::MAX)
}

/// Returns the policy that replaces an evicted, preempted or drained pod without counting it.
fn disruptions_are_free() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: "True".to_owned(),
            }]),
            on_exit_codes: None,
        }],
    }
}

#[cfg(test)]
mod tests;
