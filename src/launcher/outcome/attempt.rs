//! One pod of a build's Job: one attempt.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{BUILD_CONTAINER, Evidence, KANIKO_CONTAINER, PUSH_CONTAINER, PodLog, ending};
use crate::domain::{AttemptSeen, Digest, Failure, Phase, kaniko_log::Progress};

/// Pod and the stage that it has reached.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) pod: &'a Pod,
    pub(super) stage: Stage,
    terminated: Option<&'a ContainerStateTerminated>,
}

/// Stage that a pod has reached.
#[derive(Debug)]
pub(super) enum Stage {
    Pending,
    Running(Phase),
    Succeeded(Option<Digest>),
    Failed(Failure),
}

/// Returns all attempts, oldest first.
pub(super) fn all<'a>(evidence: &Evidence<'a>) -> Vec<Look<'a>> {
    let mut pods: Vec<&Pod> = evidence.pods.iter().collect();
    pods.sort_by_key(|pod| (created_at(pod), pod.metadata.name.clone()));
    pods.into_iter()
        .map(|pod| Look::at(pod, log_of(evidence, pod)))
        .collect()
}

/// Returns the time at which a pod was created.
pub(super) fn created_at(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn log_of<'a>(evidence: &Evidence<'a>, pod: &Pod) -> Option<&'a PodLog<'a>> {
    let name = pod.metadata.name.as_deref()?;
    evidence.logs.iter().find(|log| log.pod == name)
}

impl<'a> Look<'a> {
    fn at(pod: &'a Pod, log: Option<&PodLog<'_>>) -> Self {
        let main = main_status(pod);
        let init = failed_init(pod);
        // If the building container failed, nothing was pushed, even if the pushing container's status
        // differs.
        let built = init.is_none_or(|init| init.name != BUILD_CONTAINER);
        let terminated = main.filter(|_| built).and_then(terminated_of);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let stage = if terminated.is_some_and(|end| end.exit_code == 0) || phase == Some("Succeeded") {
            Stage::Succeeded(terminated.and_then(digest).or_else(|| digest_of_build(pod)))
        } else if terminated.is_some() || init.is_some() || phase == Some("Failed") {
            Stage::Failed(ending::failure(pod, terminated, init, log))
        } else if is_running(pod, main) {
            Stage::Running(running_phase(pod, main, log))
        } else {
            Stage::Pending
        };
        Self {
            pod,
            stage,
            terminated: terminated.or_else(|| init.and_then(terminated_of)),
        }
    }

    pub(super) fn ended(&self) -> bool {
        matches!(self.stage, Stage::Succeeded(_) | Stage::Failed(_))
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        match &self.stage {
            Stage::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns the digest of a successful attempt, if it left one; `None` for any other attempt.
    pub(super) fn success(&self) -> Option<Option<Digest>> {
        match &self.stage {
            Stage::Succeeded(digest) => Some(digest.clone()),
            _ => None,
        }
    }

    pub(super) fn seen(self) -> AttemptSeen {
        let building = building(self.pod).and_then(|build| started_at(build.state.as_ref()?));
        let of_end = self.terminated.and_then(|end| end.started_at.as_ref());
        let started = building
            .or(of_end)
            .or_else(|| started_at(main_status(self.pod)?.state.as_ref()?));
        AttemptSeen {
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            node: self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            // The start of a container that never started is reported as 1970.
            started_at: started
                .map(|time| time.0)
                .filter(|time| *time > Timestamp::UNIX_EPOCH),
            finished_at: self
                .terminated
                .and_then(|end| end.finished_at.as_ref())
                .map(|time| time.0),
            exit_code: self.terminated.map(|end| end.exit_code),
            running: matches!(self.stage, Stage::Running(_)),
            succeeded: matches!(self.stage, Stage::Succeeded(_)),
            failure: match self.stage {
                Stage::Failed(failure) => Some(failure),
                _ => None,
            },
        }
    }
}

/// Returns the container that pushes, alone or as its last action. In a pod that has none of that name, it is
/// the first one.
fn main_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod
        .status
        .as_ref()?
        .container_statuses
        .as_deref()
        .unwrap_or_default();
    statuses
        .iter()
        .find(|status| [KANIKO_CONTAINER, PUSH_CONTAINER].contains(&status.name.as_str()))
        .or_else(|| statuses.first())
}

pub(super) fn init_statuses(pod: &Pod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_deref())
        .unwrap_or_default()
}

/// Returns the container that builds, if another one pushes.
fn building(pod: &Pod) -> Option<&ContainerStatus> {
    init_statuses(pod)
        .iter()
        .find(|init| init.name == BUILD_CONTAINER)
}

fn terminated_of(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn started_at(state: &ContainerState) -> Option<&Time> {
    let running = state
        .running
        .as_ref()
        .and_then(|running| running.started_at.as_ref());
    let terminated = || state.terminated.as_ref().and_then(|end| end.started_at.as_ref());
    running.or_else(terminated)
}

fn failed_init(pod: &Pod) -> Option<&ContainerStatus> {
    init_statuses(pod)
        .iter()
        .find(|init| terminated_of(init).is_some_and(|end| end.exit_code != 0))
}

fn runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn is_running(pod: &Pod, main: Option<&ContainerStatus>) -> bool {
    main.is_some_and(runs) || init_statuses(pod).iter().any(runs) || is_between(pod, main)
}

/// Returns true if the image is built and the container that pushes it is about to start.
fn is_between(pod: &Pod, main: Option<&ContainerStatus>) -> bool {
    let waiting = main.and_then(|main| main.state.as_ref()?.waiting.as_ref());
    let about_to_start = waiting.is_some_and(|waiting| {
        matches!(
            waiting.reason.as_deref(),
            None | Some("PodInitializing" | "ContainerCreating")
        )
    });
    is_built(pod) && about_to_start
}

fn is_built(pod: &Pod) -> bool {
    let end = building(pod).and_then(terminated_of);
    end.is_some_and(|end| end.exit_code == 0)
}

fn running_phase(pod: &Pod, main: Option<&ContainerStatus>, log: Option<&PodLog<'_>>) -> Phase {
    let build = building(pod);
    if build.is_some() && is_built(pod) {
        return Phase::Pushing;
    }
    // Among running containers, only kaniko's log shows the phase.
    let kaniko = build.or(main).is_some_and(runs);
    let Some(log) = log.filter(|_| kaniko) else {
        return Phase::Fetching;
    };
    let phase = log.phase.unwrap_or_else(|| {
        let mut progress = Progress::default();
        progress.feed(log.text);
        progress.feed(b"\n");
        progress.phase()
    });
    // A step may print the line that kaniko prints when it pushes.
    if build.is_some() {
        phase.min(Phase::Building)
    } else {
        phase
    }
}

/// Returns the digest of an isolated push. The container that builds leaves it, because `executor push` has
/// no flag for it.
fn digest_of_build(pod: &Pod) -> Option<Digest> {
    building(pod).and_then(terminated_of).and_then(digest)
}

/// Reads the digest from the termination message, which is the digest file. It may contain other text if
/// Kubernetes fell back to the log.
fn digest(end: &ContainerStateTerminated) -> Option<Digest> {
    end.message.as_deref()?.trim().parse().ok()
}
