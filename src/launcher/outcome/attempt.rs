//! One pod of a build's Job: one attempt.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::{Evidence, KANIKO_CONTAINER, PodLog, ending};
use crate::domain::{AttemptSeen, Digest, Failure, Phase, kaniko_log::Progress};

/// A pod, and how far it has come.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) pod: &'a Pod,
    pub(super) stage: Stage,
    terminated: Option<&'a ContainerStateTerminated>,
}

/// How far a pod has come.
#[derive(Debug)]
pub(super) enum Stage {
    Pending,
    Running(Phase),
    Succeeded(Option<Digest>),
    Failed(Failure),
}

/// All attempts, oldest first.
pub(super) fn all<'a>(evidence: &Evidence<'a>) -> Vec<Look<'a>> {
    let mut pods: Vec<&Pod> = evidence.pods.iter().collect();
    pods.sort_by_key(|pod| (created_at(pod), pod.metadata.name.clone()));
    pods.into_iter()
        .map(|pod| Look::at(pod, log_of(evidence, pod)))
        .collect()
}

/// When a pod was created.
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
        let terminated = main.and_then(|main| main.state.as_ref()?.terminated.as_ref());
        let init = failed_init(pod);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let stage = if terminated.is_some_and(|end| end.exit_code == 0) || phase == Some("Succeeded") {
            Stage::Succeeded(terminated.and_then(digest))
        } else if terminated.is_some() || init.is_some() || phase == Some("Failed") {
            Stage::Failed(ending::failure(pod, terminated, init, log))
        } else if is_running(pod, main) {
            Stage::Running(running_phase(main, log))
        } else {
            Stage::Pending
        };
        Self {
            pod,
            stage,
            terminated: terminated.or_else(|| init.and_then(|init| init.state.as_ref()?.terminated.as_ref())),
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

    /// The digest that a successful attempt left, if it left one.
    pub(super) fn success(&self) -> Option<Option<Digest>> {
        match &self.stage {
            Stage::Succeeded(digest) => Some(digest.clone()),
            _ => None,
        }
    }

    pub(super) fn seen(self) -> AttemptSeen {
        let started =
            main_status(self.pod).and_then(|main| main.state.as_ref()?.running.as_ref()?.started_at.as_ref());
        let started = self
            .terminated
            .and_then(|end| end.started_at.as_ref())
            .or(started);
        AttemptSeen {
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            node: self.pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            // A container that never started is said to have started in 1970.
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

/// kaniko's container; of a pod that has none of that name, the first one.
fn main_status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod
        .status
        .as_ref()?
        .container_statuses
        .as_deref()
        .unwrap_or_default();
    statuses
        .iter()
        .find(|status| status.name == KANIKO_CONTAINER)
        .or_else(|| statuses.first())
}

pub(super) fn init_statuses(pod: &Pod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_deref())
        .unwrap_or_default()
}

fn failed_init(pod: &Pod) -> Option<&ContainerStatus> {
    init_statuses(pod).iter().find(|init| {
        let end = init.state.as_ref().and_then(|state| state.terminated.as_ref());
        end.is_some_and(|end| end.exit_code != 0)
    })
}

fn is_running(pod: &Pod, main: Option<&ContainerStatus>) -> bool {
    let runs = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
    main.is_some_and(runs) || init_statuses(pod).iter().any(runs)
}

fn running_phase(main: Option<&ContainerStatus>, log: Option<&PodLog<'_>>) -> Phase {
    if main
        .and_then(|main| main.state.as_ref()?.running.as_ref())
        .is_none()
    {
        return Phase::Fetching;
    }
    let Some(log) = log else {
        return Phase::Fetching;
    };
    log.phase.unwrap_or_else(|| {
        let mut progress = Progress::default();
        progress.feed(log.text);
        progress.feed(b"\n");
        progress.phase()
    })
}

/// The digest file is the termination message. Other text may be there too, where Kubernetes fell back to the log.
fn digest(end: &ContainerStateTerminated) -> Option<Digest> {
    end.message.as_deref()?.trim().parse().ok()
}
