//! Derives the failure of a Job from its last failed pod or, without one, from a log or the Job's condition.

use k8s_openapi::api::batch::v1::JobCondition;

use super::{Evidence, attempt::Look};
use crate::domain::{
    Failure, Reason,
    kaniko_log::{self, message},
};

pub(super) fn failure(evidence: &Evidence<'_>, looks: &[Look<'_>], condition: &JobCondition) -> Failure {
    let last = looks.iter().rev().find_map(Look::failure);
    if condition.reason.as_deref() == Some("DeadlineExceeded") {
        let mut failure = Failure::new(Reason::TimedOut, timed_out(evidence));
        if let Some(last) = last {
            failure.exit_code = last.exit_code;
            failure.log_snippet.clone_from(&last.log_snippet);
        }
        return failure;
    }
    if let Some(last) = last {
        return last.clone();
    }
    from_log(evidence).unwrap_or_else(|| {
        let words = condition
            .message
            .as_deref()
            .unwrap_or("Kubernetes does not say why");
        Failure::new(
            Reason::Unknown,
            message(&format!(
                "The Job failed, and none of its pods is left to tell why: {words}"
            )),
        )
    })
}

/// Returns the failure of a Job that is gone without a trace of its pods.
pub(super) fn lost(evidence: &Evidence<'_>) -> Failure {
    from_log(evidence).unwrap_or_else(|| {
        Failure::new(
            Reason::JobLost,
            "The Job is gone, and no pod is left that could tell more.",
        )
    })
}

/// Derives a failure from the log of a pod that is gone.
fn from_log(evidence: &Evidence<'_>) -> Option<Failure> {
    let log = evidence.logs.iter().rev().find(|log| !log.text.is_empty())?;
    let verdict = kaniko_log::classify(log.text, None)?;
    Some(Failure {
        reason: verdict.reason,
        message: verdict.message,
        exit_code: verdict.exit_code,
        log_snippet: kaniko_log::snippet(log.text),
    })
}

/// Returns the message of a timeout, with the reason why the build waited if no container ever ran.
fn timed_out(evidence: &Evidence<'_>) -> String {
    let spec = evidence.job.and_then(|job| job.spec.as_ref());
    let limit = spec.and_then(|spec| spec.active_deadline_seconds);
    let is_backstop = spec.is_some_and(|spec| {
        spec.template
            .spec
            .as_ref()
            .is_some_and(|pod| pod.active_deadline_seconds.is_some())
    });
    let text = match limit {
        // The build's timeout is the pod's deadline.
        Some(seconds) if is_backstop => format!("All in all, the build took longer than {seconds} seconds."),
        Some(seconds) => format!("The build took longer than its timeout of {seconds} seconds."),
        None => "The build took longer than its timeout.".to_owned(),
    };
    match pull_failure(evidence) {
        Some(words) => message(&format!("{text} Its container never started: {words}")),
        None => text,
    }
}

fn pull_failure<'a>(evidence: &Evidence<'a>) -> Option<&'a str> {
    let started = evidence
        .events
        .iter()
        .any(|event| event.reason.as_deref() == Some("Started"));
    let pods = evidence
        .events
        .iter()
        .filter(|event| event.involved_object.kind.as_deref() == Some("Pod"));
    let mut words = pods.filter_map(|event| event.message.as_deref());
    words.rfind(|words| !started && words.starts_with("Failed to pull image"))
}
