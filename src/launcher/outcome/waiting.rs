//! Derives the cause of a wait while none of a Job's containers runs.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateWaiting, Pod};

use super::{
    attempt::init_statuses,
    events::{self, Events},
};
use crate::domain::{Reason, kaniko_log::message};

/// Cause of a wait, if it is known.
#[derive(Debug, Default)]
pub(super) struct Why {
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
}

impl Why {
    fn new(reason: Option<Reason>, words: &str) -> Self {
        let words = message(words);
        Self {
            reason,
            message: (!words.is_empty()).then_some(words),
        }
    }
}

/// Returns the cause for a pod whose containers have not started.
pub(super) fn pod(pod: &Pod, events: &Events<'_>) -> Why {
    unscheduled(pod, events)
        .or_else(|| container(pod, events))
        .or_else(|| by_event(events))
        .unwrap_or_default()
}

fn unscheduled(pod: &Pod, events: &Events<'_>) -> Option<Why> {
    // The pod has a node: later Events of the scheduler do not matter.
    if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
        return None;
    }
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled");
    if scheduled.is_some_and(|condition| condition.status == "True") {
        return None;
    }
    let told = events
        .last(|reason, _| reason == "FailedScheduling")
        .map(events::words);
    let words = scheduled
        .and_then(|condition| condition.message.as_deref())
        .or(told)?;
    let reason = match scheduled.and_then(|condition| condition.reason.as_deref()) {
        // A queue holds the pod back on purpose and releases it later.
        Some("SchedulingGated") => None,
        _ if says_claim_missing(words) => Some(Reason::ConfigMissing),
        _ => Some(Reason::Unschedulable),
    };
    Some(Why::new(reason, words))
}

fn says_claim_missing(words: &str) -> bool {
    words.contains("persistentvolumeclaim \"") && words.contains("not found")
}

fn container(pod: &Pod, events: &Events<'_>) -> Option<Why> {
    let main = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    init_statuses(pod)
        .iter()
        .chain(main)
        .filter_map(|status| status.state.as_ref()?.waiting.as_ref())
        .find_map(|waiting| by_waiting_reason(waiting, events))
}

fn by_waiting_reason(waiting: &ContainerStateWaiting, events: &Events<'_>) -> Option<Why> {
    let words = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(Why::new(Some(Reason::BuilderImageUnavailable), words)),
        "ImagePullBackOff" => {
            // This reason only says that the kubelet waits; the Event has the cause.
            let failed =
                events.last(|reason, words| reason == "Failed" && words.starts_with("Failed to pull image"));
            Some(Why::new(
                Some(Reason::BuilderImageUnavailable),
                failed.map_or(words, events::words),
            ))
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(Why::new(Some(Reason::ConfigMissing), words)),
        _ => None,
    }
}

/// Returns the cause from Events. A pod whose volumes cannot be mounted is `ContainerCreating` for ever, and
/// only its Events show why.
fn by_event(events: &Events<'_>) -> Option<Why> {
    let event = events.last(|reason, _| {
        reason.starts_with("FailedMount")
            || reason == "FailedAttachVolume"
            || reason == "FailedMapVolume"
            || reason == "FailedCreatePodSandBox"
    })?;
    let volume = event.reason.as_deref() != Some("FailedCreatePodSandBox");
    Some(Why::new(
        volume.then_some(Reason::ConfigMissing),
        events::words(event),
    ))
}

/// Returns the cause for a Job whose next pod is not created. `newest` is the time at which its newest pod
/// was created: earlier failures have been overcome.
pub(super) fn no_pod(events: &Events<'_>, newest: Option<Timestamp>) -> Why {
    let Some(event) = events.last(|reason, _| matches!(reason, "FailedCreate" | "SuccessfulCreate")) else {
        return Why::default();
    };
    let overcome = newest.is_some_and(|newest| events::at(event).is_some_and(|at| at < newest));
    if event.reason.as_deref() == Some("SuccessfulCreate") || overcome {
        return Why::default();
    }
    let words = events::words(event);
    Why::new(refused_pod(words), words)
}

/// Returns the reason for which the API server refused a pod.
fn refused_pod(words: &str) -> Option<Reason> {
    let lower = words.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&[
        "exceeded quota",
        "violates podsecurity",
        "must specify limits",
        "maximum ",
        "minimum ",
    ]) {
        return Some(Reason::QuotaExceeded);
    }
    if says(&[
        "service account",
        "serviceaccount",
        "priorityclass",
        "runtimeclass",
        "not found",
        "being terminated",
    ]) {
        return Some(Reason::ConfigMissing);
    }
    // Any other refusal by an admission policy.
    says(&["is forbidden", "denied the request", "admission", "violat"]).then_some(Reason::QuotaExceeded)
}
