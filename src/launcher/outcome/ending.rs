//! Derives the failure of an attempt from its pod and its log.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::{
    BUILD_CONTAINER, EXIT_CONTEXT_INVALID, EXIT_FETCH_FAILED, FETCH_CONTAINER, KANIKO_CONTAINER,
    PUSH_CONTAINER, PodLog, disruption,
};
use crate::domain::{
    Digest, Failure, Reason,
    kaniko_log::{self, message},
};

/// Returns the failure of a pod.
pub(super) fn failure(
    pod: &Pod,
    main: Option<&ContainerStateTerminated>,
    init: Option<&ContainerStatus>,
    log: Option<&PodLog<'_>>,
) -> Failure {
    let init_end = init.and_then(|init| init.state.as_ref()?.terminated.as_ref());
    let end = main.or(init_end);
    let left = end
        .and_then(|end| end.message.as_deref())
        .filter(|left| left.trim().parse::<Digest>().is_err());
    // Without a log, its end may be in the termination message.
    let text = match log {
        Some(log) if !log.text.is_empty() => log.text,
        _ => left.unwrap_or_default().as_bytes(),
    };
    let status = pod.status.as_ref();
    let (reason, words) = status
        .and_then(disruption::read)
        .or_else(|| Some(of_init(pod, init?, init_end?, text)).filter(|_| main.is_none()))
        .or_else(|| main.map(|end| of_container(pod, end, text)))
        .unwrap_or_else(|| (Reason::Unknown, without_container(status)));
    Failure {
        reason,
        message: message(&words),
        exit_code: end.map(|end| end.exit_code),
        log_snippet: kaniko_log::snippet(text),
    }
}

fn without_container(status: Option<&PodStatus>) -> String {
    let words = status.and_then(|status| status.message.as_deref().or(status.reason.as_deref()));
    format!(
        "The pod failed: {}",
        words.unwrap_or("Kubernetes does not say why")
    )
}

fn of_init(
    pod: &Pod,
    init: &ContainerStatus,
    end: &ContainerStateTerminated,
    text: &[u8],
) -> (Reason, String) {
    if init.name == BUILD_CONTAINER {
        return of_container(pod, end, text);
    }
    if init.name != FETCH_CONTAINER {
        return of_ending(end, text);
    }
    let last = String::from_utf8_lossy(text)
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map(str::to_owned);
    let words = last.unwrap_or_else(|| format!("fetch-context ended with exit code {}", end.exit_code));
    match (end.exit_code, end.reason.as_deref()) {
        (EXIT_CONTEXT_INVALID, _) => (
            Reason::ContextInvalid,
            format!("The context cannot be used: {words}"),
        ),
        (_, Some("OOMKilled" | "StartError" | "ContainerCannotRun" | "ContainerStatusUnknown")) => {
            of_ending(end, text)
        }
        // 75, and any other end before a cause was printed: fetching again does no harm.
        (EXIT_FETCH_FAILED, _) | (_, _) => (
            Reason::SourceFetchFailed,
            format!("The context could not be fetched: {words}"),
        ),
    }
}

fn of_container(pod: &Pod, end: &ContainerStateTerminated, text: &[u8]) -> (Reason, String) {
    let (reason, words) = of_ending(end, text);
    if reason == Reason::OutOfMemory
        && let Some(limit) = memory_limit(pod)
    {
        return (
            reason,
            format!("The build used more memory than its limit of {limit}."),
        );
    }
    if reason == Reason::Unknown && pod.metadata.deletion_timestamp.is_some() {
        return (reason, "The pod was deleted before it had ended.".to_owned());
    }
    (reason, words)
}

/// Returns the memory limit of the container that builds; the one that pushes has the same.
fn memory_limit(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let ours = [KANIKO_CONTAINER, BUILD_CONTAINER, PUSH_CONTAINER];
    let main = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .find(|container| ours.contains(&container.name.as_str()))
        .or(spec.containers.first())?;
    Some(
        main.resources
            .as_ref()?
            .limits
            .as_ref()?
            .get("memory")?
            .0
            .as_str(),
    )
}

/// Returns the reason and the message for a container that ended with an exit code other than 0.
fn of_ending(end: &ContainerStateTerminated, text: &[u8]) -> (Reason, String) {
    let words = end.message.as_deref().unwrap_or_default();
    match end.reason.as_deref() {
        Some("StartError" | "ContainerCannotRun") => {
            return (
                Reason::LaunchFailed,
                format!("The container could not be started: {words}"),
            );
        }
        Some("ContainerStatusUnknown") => {
            return (
                Reason::NodeLost,
                "The container was gone when its node was asked about it.".to_owned(),
            );
        }
        _ => {}
    }
    let verdict = kaniko_log::classify(text, Some(end.exit_code));
    if end.reason.as_deref() == Some("OOMKilled") {
        // A RUN may outlive the process that was killed in it, and the build may fail for a reason that has
        // nothing to do with memory. A failed step or a killed kaniko is attributed to memory.
        match verdict {
            Some(other) if !matches!(other.reason, Reason::BuildStepFailed | Reason::Unknown) => {
                return (other.reason, other.message);
            }
            _ => {
                return (
                    Reason::OutOfMemory,
                    "The build used more memory than its limit.".to_owned(),
                );
            }
        }
    }
    verdict.map_or_else(
        || (Reason::Unknown, unexplained(end.exit_code)),
        |verdict| (verdict.reason, verdict.message),
    )
}

fn unexplained(exit_code: i32) -> String {
    let how = match exit_code {
        137 => "was killed (SIGKILL)".to_owned(),
        2 | 143 => format!("was stopped (exit code {exit_code}), and says nothing about it"),
        code => format!("ended with exit code {code}, and its log does not say why"),
    };
    format!("The builder {how}.")
}
