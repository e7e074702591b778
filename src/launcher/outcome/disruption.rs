//! Detects disruptions of a pod from outside. They are read before its containers, which only show that they
//! were stopped.

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

use crate::domain::Reason;

/// Returns why the pod ended, if the cause was not the end of its container.
pub(super) fn read(status: &PodStatus) -> Option<(Reason, String)> {
    let words = status.message.as_deref().unwrap_or_default();
    let by_reason = match status.reason.as_deref() {
        Some("DeadlineExceeded") => Some((
            Reason::TimedOut,
            "The build took longer than its timeout.".to_owned(),
        )),
        // The pod's own limit and a node without free disk are the same to the project: there is no room.
        Some("Evicted") if says_disk(words) => Some((Reason::DiskFull, said("The disk is full", words))),
        Some("Evicted") => Some((Reason::Evicted, said("The node evicted the pod", words))),
        Some("Preempting" | "Preempted") => {
            Some((Reason::Evicted, said("The pod made room for another", words)))
        }
        Some("NodeLost" | "Terminated" | "Shutdown" | "NodeShutdown") => {
            Some((Reason::NodeLost, said("The node went away", words)))
        }
        // The node refused what the scheduler had assigned: nothing ran.
        Some(reason) if refused_by_node(reason) => {
            Some((Reason::Evicted, said("The node refused the pod", words)))
        }
        _ => None,
    };
    by_reason.or_else(|| by_condition(status))
}

/// Returns the condition that the pod was disrupted: by an eviction, a drain or the loss of its node.
pub(super) fn target(status: &PodStatus) -> Option<&PodCondition> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .find(|found| found.type_ == "DisruptionTarget" && found.status == "True")
}

fn by_condition(status: &PodStatus) -> Option<(Reason, String)> {
    let target = target(status)?;
    let words = target.message.as_deref().unwrap_or_default();
    let found = match target.reason.as_deref() {
        Some("DeletionByTaintManager" | "DeletionByPodGC") => {
            (Reason::NodeLost, said("The node went away", words))
        }
        Some("TerminationByKubelet") if words.contains("shutdown") => {
            (Reason::NodeLost, said("The node went away", words))
        }
        Some("TerminationByKubelet") if says_disk(words) => {
            (Reason::DiskFull, said("The disk is full", words))
        }
        _ => (Reason::Evicted, said("The pod was evicted", words)),
    };
    Some(found)
}

fn says_disk(words: &str) -> bool {
    let lower = words.to_ascii_lowercase();
    ["ephemeral", "emptydir", "disk", "inode", "nodefs", "imagefs"]
        .iter()
        .any(|word| lower.contains(word))
}

fn refused_by_node(reason: &str) -> bool {
    reason.starts_with("OutOf")
        || matches!(
            reason,
            "UnexpectedAdmissionError" | "NodeAffinity" | "TopologyAffinityError"
        )
}

fn said(introduction: &str, words: &str) -> String {
    if words.is_empty() {
        format!("{introduction}.")
    } else {
        format!("{introduction}: {words}")
    }
}
