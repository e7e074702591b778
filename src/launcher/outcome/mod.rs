//! Derives the observation of a build from its Job, Pods, Events and logs: one pure function.
//!
//! The Job's own condition `BackoffLimitExceeded` says nothing about the cause, so the evidence is read in
//! this order: the pod's reason and its `DisruptionTarget` condition (disruptions from outside), init
//! containers, the container's exit code (0 is success, whatever its reason says) and reason, the end of
//! kaniko's log. The cause of a wait is in the pod's conditions, its containers' waiting reasons and, if
//! those show none, in Events.

mod attempt;
mod disruption;
mod ending;
mod events;
mod failed_job;
mod waiting;

use std::sync::Arc;

use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{Event, Pod},
};

use self::{
    attempt::{Look, Stage},
    events::Events,
};
use crate::domain::{
    Failure, Outcome, Phase, Sighting, failure::Retry, kaniko_log::message, outcome::Advice,
};

/// Exit code of `fetch-context` for an invalid context: it breaks a limit, or cannot be unpacked
/// (`EX_DATAERR`).
pub const EXIT_CONTEXT_INVALID: i32 = 65;
/// Exit code of `fetch-context` for an error after which another try may succeed (`EX_TEMPFAIL`).
pub const EXIT_FETCH_FAILED: i32 = 75;
/// Name of the init container that fetches an uploaded context.
pub const FETCH_CONTAINER: &str = "fetch-context";
/// Label by which the Job controller identifies its pods.
const JOB_UID: &str = "batch.kubernetes.io/controller-uid";
/// Finalizer that a Job's pods carry until they are counted.
const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Name of the container that runs kaniko, if one both builds and pushes.
pub const KANIKO_CONTAINER: &str = "kaniko";
/// Name of the init container that builds, if another container pushes.
pub const BUILD_CONTAINER: &str = "build";
/// Name of the container that pushes what [`BUILD_CONTAINER`] built.
pub const PUSH_CONTAINER: &str = "push";

/// Everything that can be observed of a build.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The Job; `None` once it is gone.
    pub job: Option<&'a Job>,
    /// Its Pods, in any order.
    pub pods: &'a [Pod],
    /// Events about the Job and its Pods, in any order. Events about other objects are ignored.
    pub events: &'a [Event],
    /// Available logs.
    pub logs: &'a [PodLog<'a>],
}

/// Available part of a pod's log.
#[derive(Debug, Clone, Copy)]
pub struct PodLog<'a> {
    /// The pod's name. The log of a pod that is gone is useful, too.
    pub pod: &'a str,
    /// The log, or its end; at least 64 KiB of it.
    pub text: &'a [u8],
    /// Phase that the log had reached, if it was followed as a whole; otherwise it is derived from `text`.
    pub phase: Option<Phase>,
}

/// Derives the observation from the evidence.
pub fn sighting(evidence: &Evidence<'_>) -> Sighting {
    let looks = attempt::all(evidence);
    let job = evidence.job;
    let end = job.and_then(end);
    Sighting {
        external_id: uid(evidence),
        outcome: outcome(evidence, &looks, end),
        failed_attempts: failed_attempts(&looks, job, end),
        deleting: is_deleting(evidence),
        advice: advice(evidence, &looks, end),
        attempts: looks.into_iter().map(Look::seen).collect(),
    }
}

/// End of a Job.
#[derive(Debug, Clone, Copy)]
enum End<'a> {
    Complete,
    Failed(&'a JobCondition),
    /// The Job becomes `Failed` once its pods have ended.
    Failing(&'a JobCondition),
}

fn end(job: &Job) -> Option<End<'_>> {
    let conditions = job.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let find = |name: &str| {
        conditions
            .iter()
            .find(|condition| condition.type_ == name && condition.status == "True")
    };
    if find("Complete").or_else(|| find("SuccessCriteriaMet")).is_some() {
        Some(End::Complete)
    } else if let Some(condition) = find("Failed") {
        Some(End::Failed(condition))
    } else {
        find("FailureTarget").map(End::Failing)
    }
}

fn outcome(evidence: &Evidence<'_>, looks: &[Look<'_>], end: Option<End<'_>>) -> Outcome {
    let succeeded = || looks.iter().rev().find_map(Look::success);
    match end {
        Some(End::Complete) => {
            return Outcome::Succeeded {
                digest: succeeded().flatten(),
            };
        }
        Some(End::Failed(condition)) => {
            return match succeeded() {
                // The image was pushed before the Job failed.
                Some(digest) => Outcome::Succeeded { digest },
                None => Outcome::Failed(failed_job::failure(evidence, looks, condition)),
            };
        }
        Some(End::Failing(condition)) if looks.iter().all(Look::ended) => {
            return Outcome::Failed(failed_job::failure(evidence, looks, condition));
        }
        Some(End::Failing(_)) | None => {}
    }
    match looks.iter().rev().find(|look| !look.ended()) {
        Some(live) => live_outcome(evidence, live),
        None => between(evidence, looks),
    }
}

/// Returns the outcome for a pod that has not ended.
fn live_outcome(evidence: &Evidence<'_>, live: &Look<'_>) -> Outcome {
    match &live.stage {
        Stage::Running(phase) => Outcome::Running { phase: *phase },
        _ => {
            let why = waiting::pod(live.pod, &Events::of_pod(evidence.events, live.pod));
            Outcome::Waiting {
                reason: why.reason,
                message: why.message,
            }
        }
    }
}

/// Returns the outcome for a Job that has not ended while none of its pods is alive.
fn between(evidence: &Evidence<'_>, looks: &[Look<'_>]) -> Outcome {
    if let Some(last) = looks.last() {
        if let Some(digest) = last.success() {
            return match evidence.job {
                // Final once the Job reports it, some two seconds later; one that is being deleted may never
                // report it.
                Some(job) if job.metadata.deletion_timestamp.is_none() => Outcome::Running {
                    phase: Phase::Pushing,
                },
                _ => Outcome::Succeeded { digest },
            };
        }
        if evidence.job.is_none()
            && let Some(failure) = last.failure()
        {
            return Outcome::Failed(failure.clone());
        }
    }
    let Some(job) = evidence.job else {
        return Outcome::Failed(failed_job::lost(evidence));
    };
    if is_suspended(job) {
        return Outcome::Waiting {
            reason: None,
            message: Some("The Job is suspended.".to_owned()),
        };
    }
    let newest = looks
        .iter()
        .filter_map(|look| attempt::created_at(look.pod))
        .max();
    let why = waiting::no_pod(&Events::of_job(evidence.events, job), newest);
    let after_failure = || looks.last().and_then(Look::failure).map(next_attempt);
    Outcome::Waiting {
        reason: why.reason,
        message: why.message.or_else(after_failure),
    }
}

fn next_attempt(failure: &Failure) -> String {
    message(&format!(
        "Another attempt follows. The last one failed: {}",
        failure.message
    ))
}

fn advice(evidence: &Evidence<'_>, looks: &[Look<'_>], end: Option<End<'_>>) -> Advice {
    let (Some(job), None) = (evidence.job, end) else {
        return Advice::None;
    };
    let would_retry = job.spec.as_ref().and_then(|spec| spec.backoff_limit) != Some(0);
    let pointless = looks
        .iter()
        .rev()
        .find_map(Look::failure)
        .is_some_and(|failure| failure.reason.retry() == Retry::Never);
    let succeeded = looks.iter().any(|look| look.success().is_some());
    if would_retry && pointless && !succeeded && job.metadata.deletion_timestamp.is_none() {
        Advice::StopRetrying
    } else {
        Advice::None
    }
}

/// Returns true if everything is being deleted already. A Job may have been deleted without its pods: they
/// continue, and push.
fn is_deleting(evidence: &Evidence<'_>) -> bool {
    match evidence.job {
        Some(job) => job.metadata.deletion_timestamp.is_some(),
        None => evidence
            .pods
            .iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_some()),
    }
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// Returns the number of failures that the Job counts or will count: its own count trails the end of a pod by
/// seconds, and may still trail when the Job has the condition that it fails.
///
/// A pod that the Job has counted may be gone, and another one may exist that it has not counted. The latter
/// carries the Job's finalizer until its uid is among those that the Job is about to count. The finalizer is
/// read only when it matters, in a Job that is failing: Pods are watched separately from Jobs, and a pod in a
/// trailing watch seems uncounted ([`may_count_twice`]).
fn failed_attempts(looks: &[Look<'_>], job: Option<&Job>, end: Option<End<'_>>) -> u32 {
    let failed = failed_pods(looks, job);
    let Some(job) = job else {
        return number(failed.len());
    };
    let to_come = match end {
        Some(End::Failing(_)) => number(failed.iter().filter(|pod| is_uncounted(pod, job)).count()),
        _ => 0,
    };
    (counted(job) + number(about_to_count(job).len()) + to_come).max(number(failed.len()))
}

/// Returns true if a pod would be counted twice because its watch trails the Job's: a Job that is failing has
/// counted some pods, and a pod seems uncounted. Then the Job must be read, and its pods after it.
pub fn may_count_twice(job: &Job, pods: &[Arc<Pod>]) -> bool {
    let failing = matches!(end(job), Some(End::Failing(_)));
    failing && counted(job) > 0 && pods.iter().any(|pod| is_uncounted(pod, job))
}

fn counted(job: &Job) -> u32 {
    let counted = job.status.as_ref().and_then(|status| status.failed);
    u32::try_from(counted.unwrap_or(0)).unwrap_or(0)
}

fn about_to_count(job: &Job) -> &[String] {
    let status = job.status.as_ref();
    let uncounted = status.and_then(|status| status.uncounted_terminated_pods.as_ref());
    uncounted
        .and_then(|pods| pods.failed.as_deref())
        .unwrap_or_default()
}

/// Returns true if the Job has not registered a pod's end yet.
fn is_uncounted(pod: &Pod, job: &Job) -> bool {
    let uid = pod.metadata.uid.as_ref();
    is_tracked(pod) && !about_to_count(job).iter().any(|other| Some(other) == uid)
}

/// Returns the pods that failed in a way that a Job counts.
fn failed_pods<'a>(looks: &[Look<'a>], job: Option<&Job>) -> Vec<&'a Pod> {
    let job_goes = job.is_none_or(|job| job.metadata.deletion_timestamp.is_some() || is_suspended(job));
    let counts = |look: &&Look<'_>| {
        let went_along = job_goes && look.pod.metadata.deletion_timestamp.is_some();
        look.failure().is_some_and(|failure| {
            // The Job's `podFailurePolicy` ignores disrupted pods. A pod that was deleted with its Job, or
            // stopped because its Job was suspended, is created again.
            let made_again = went_along && failure.reason.retryable();
            !is_disrupted(look.pod) && !made_again
        })
    };
    looks.iter().filter(counts).map(|look| look.pod).collect()
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Returns true if the Job has not counted the pod yet.
fn is_tracked(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|one| one == JOB_TRACKING)
}

fn is_disrupted(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(disruption::target).is_some()
}

/// Returns the Job's uid. If the Job is gone, its pods name it: in their owner, or in a label if they were
/// orphaned.
fn uid(evidence: &Evidence<'_>) -> String {
    let owner = || {
        let owners = evidence
            .pods
            .iter()
            .flat_map(|pod| pod.metadata.owner_references.iter().flatten());
        owners
            .filter(|owner| owner.kind == "Job")
            .map(|owner| owner.uid.clone())
            .next()
    };
    let label = || {
        let mut labels = evidence
            .pods
            .iter()
            .filter_map(|pod| pod.metadata.labels.as_ref());
        labels.find_map(|labels| labels.get(JOB_UID).cloned())
    };
    evidence
        .job
        .and_then(|job| job.metadata.uid.clone())
        .or_else(owner)
        .or_else(label)
        .unwrap_or_default()
}

#[cfg(test)]
mod isolated_tests;
