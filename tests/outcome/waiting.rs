//! Builds that go on: their phase, and what they wait for.

use serde_json::json;
use slipway::domain::{Outcome, Phase, Reason};

use crate::outcome::scene::{PUSH_DOWN, Scene, running, waiting};

#[test]
fn a_running_pod_has_the_phase_of_its_log() {
    let status = || json!({"containerStatuses": [running("istio-proxy"), running("kaniko")]});
    for (log, phase) in [
        ("", Phase::Fetching),
        ("INFO[0000] Retrieving image manifest x\n", Phase::Building),
        (
            "INFO[0000] RUN x\nINFO[0001] Pushing image to r/x:1",
            Phase::Pushing,
        ),
    ] {
        assert_eq!(
            Scene::new().pod("Running", status()).log(log).look().outcome,
            Outcome::Running { phase }
        );
    }
    let fetching = json!({
        "initContainerStatuses": [running("fetch-context")],
        "containerStatuses": [waiting("kaniko", "PodInitializing", "")],
    });
    let seen = Scene::new().pod("Pending", fetching).look();
    assert_eq!(
        seen.outcome,
        Outcome::Running {
            phase: Phase::Fetching
        }
    );
    assert!(seen.attempts[0].running);
}

#[test]
fn containers_say_what_they_wait_for() {
    let pull = "Failed to pull image \"x\": 429 Too Many Requests - Server message: toomanyrequests";
    for (waiting_reason, message, expected, words) in [
        (
            "ErrImagePull",
            "toomanyrequests: pull rate limit",
            Some(Reason::BuilderImageUnavailable),
            "rate limit",
        ),
        (
            "ImagePullBackOff",
            "Back-off pulling image \"x\"",
            Some(Reason::BuilderImageUnavailable),
            "429",
        ),
        (
            "ImageInspectError",
            "broken",
            Some(Reason::BuilderImageUnavailable),
            "broken",
        ),
        (
            "CreateContainerConfigError",
            "secret \"git\" not found",
            Some(Reason::ConfigMissing),
            "secret \"git\"",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
            Some(Reason::ConfigMissing),
            "root",
        ),
        (
            "CreateContainerError",
            "failed to reserve container name",
            Some(Reason::ConfigMissing),
            "reserve",
        ),
        ("ContainerCreating", "", None, ""),
        ("PodInitializing", "", None, ""),
    ] {
        for container in ["initContainerStatuses", "containerStatuses"] {
            let status = json!({
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                container: [waiting("kaniko", waiting_reason, message)],
            });
            Scene::new()
                .pod("Pending", status)
                .event("Pod", "build-1-1", "Failed", pull)
                .waits_for(expected, words);
        }
    }
}

#[test]
fn the_scheduler_and_the_kubelet_speak_through_conditions_and_events() {
    let unscheduled = |reason: &str, message: &str| {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
        Scene::new()
            .pod("Pending", json!({"conditions": [condition]}))
            .without_node()
    };
    unscheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient memory.")
        .waits_for(Some(Reason::Unschedulable), "Insufficient memory");
    unscheduled(
        "Unschedulable",
        "0/1 nodes are available: persistentvolumeclaim \"ctx\" not found.",
    )
    .waits_for(Some(Reason::ConfigMissing), "\"ctx\" not found");
    unscheduled(
        "Unschedulable",
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    )
    .waits_for(Some(Reason::Unschedulable), "unbound");
    unscheduled(
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    )
    .waits_for(None, "gates");
    Scene::new()
        .pod("Pending", json!({}))
        .without_node()
        .event(
            "Pod",
            "build-1-1",
            "FailedScheduling",
            "no nodes available to schedule pods",
        )
        .waits_for(Some(Reason::Unschedulable), "no nodes");

    // Two schedulers: the one that came too late speaks of a pod that has its node.
    let too_late = json!({
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulerError",
            "message": "running Bind plugin \"DefaultBinder\": pod b is already assigned to node \"n\""}],
        "containerStatuses": [waiting("kaniko", "ErrImageNeverPull", "not present with pull policy of Never")],
    });
    Scene::new()
        .pod("Pending", too_late)
        .waits_for(Some(Reason::BuilderImageUnavailable), "Never");

    let creating = || {
        let status = json!({
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [waiting("kaniko", "ContainerCreating", "")],
        });
        Scene::new().pod("Pending", status)
    };
    let mount = "MountVolume.SetUp failed for volume \"config\" : secret \"registry\" not found";
    creating()
        .event("Pod", "build-1-1", "FailedMount", mount)
        .waits_for(Some(Reason::ConfigMissing), "registry");
    creating()
        .event("Pod", "build-1-1", "FailedAttachVolume", "Multi-Attach")
        .waits_for(Some(Reason::ConfigMissing), "Multi");
    creating()
        .event("Pod", "build-1-1", "FailedCreatePodSandBox", "no network")
        .waits_for(None, "no network");
    creating()
        .event("Pod", "build-1-9", "FailedMount", mount)
        .waits_for(None, "");
    creating().waits_for(None, "");
}

#[test]
fn a_job_without_pods_says_why_in_its_events() {
    for (message, expected) in [
        (
            "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            Some(Reason::QuotaExceeded),
        ),
        (
            "pods \"b\" is forbidden: failed quota: q: must specify limits.cpu for: kaniko",
            Some(Reason::QuotaExceeded),
        ),
        (
            "pods \"b\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
            Some(Reason::QuotaExceeded),
        ),
        (
            "pods \"b\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
            Some(Reason::QuotaExceeded),
        ),
        (
            "admission webhook \"x\" denied the request: no",
            Some(Reason::QuotaExceeded),
        ),
        (
            "pods \"b\" is forbidden: error looking up service account d/n: serviceaccount \"n\" not found",
            Some(Reason::ConfigMissing),
        ),
        (
            "pods \"b\" is forbidden: no PriorityClass with name high was found",
            Some(Reason::ConfigMissing),
        ),
        (
            "pods \"b\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found",
            Some(Reason::ConfigMissing),
        ),
        (
            "pods \"b\" is forbidden: unable to create new content in namespace x because it is being terminated",
            Some(Reason::ConfigMissing),
        ),
        ("etcdserver: request timed out", None),
    ] {
        let words = format!("Error creating: {message}");
        Scene::new()
            .event("Job", "build-1", "FailedCreate", &words)
            .waits_for(expected, message);
        // Another Job's events, and what has been overcome.
        Scene::new()
            .event("Job", "build-2", "FailedCreate", &words)
            .waits_for(None, "");
        Scene::new()
            .event("Job", "build-1", "FailedCreate", &words)
            .event("Job", "build-1", "SuccessfulCreate", "Created pod: build-1-1")
            .waits_for(None, "");
    }
    Scene::new()
        .job(|job| job["spec"]["suspend"] = json!(true))
        .waits_for(None, "suspended");
    Scene::new().waits_for(None, "");
}

#[test]
fn a_quota_may_stop_the_second_attempt() {
    Scene::new()
        .exited(1, "Error", PUSH_DOWN)
        .event("Job", "build-1", "SuccessfulCreate", "Created pod: build-1-1")
        .event(
            "Job",
            "build-1",
            "FailedCreate",
            "Error creating: pods \"b\" is forbidden: exceeded quota: q",
        )
        .waits_for(Some(Reason::QuotaExceeded), "exceeded quota");
}
