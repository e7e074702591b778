//! How a pod ended, by what is said of it.

use serde_json::json;
use slipway::{
    domain::{Outcome, Reason},
    launcher::outcome::{EXIT_CONTEXT_INVALID, EXIT_FETCH_FAILED},
};

use crate::outcome::scene::{DIGEST, PUSH_DOWN, RUN_FAILED, Scene, terminated, waiting};

#[test]
fn what_was_done_to_a_pod_is_read_before_its_containers() {
    for (status_reason, message, expected) in [
        (
            "Evicted",
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
            Reason::DiskFull,
        ),
        (
            "Evicted",
            "Container kaniko exceeded its local ephemeral storage limit \"1Gi\". ",
            Reason::DiskFull,
        ),
        (
            "Evicted",
            "Usage of EmptyDir volume \"context\" exceeds the limit \"1Gi\". ",
            Reason::DiskFull,
        ),
        (
            "Evicted",
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1",
            Reason::DiskFull,
        ),
        (
            "Evicted",
            "The node had condition: [DiskPressure]. ",
            Reason::DiskFull,
        ),
        (
            "Evicted",
            "The node was low on resource: memory. Container kaniko was using 3Gi",
            Reason::Evicted,
        ),
        (
            "Evicted",
            "The node had condition: [MemoryPressure]. ",
            Reason::Evicted,
        ),
        (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            Reason::TimedOut,
        ),
        ("NodeLost", "Node is gone", Reason::NodeLost),
        (
            "Terminated",
            "Pod was terminated in response to imminent node shutdown.",
            Reason::NodeLost,
        ),
        (
            "Preempting",
            "Preempted in order to admit critical pod",
            Reason::Evicted,
        ),
        (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu",
            Reason::Evicted,
        ),
    ] {
        let status = json!({
            "reason": status_reason, "message": message,
            "containerStatuses": [terminated("kaniko", 137, "OOMKilled", None)],
        });
        let (reason, words) = Scene::new()
            .pod("Failed", status)
            .log(RUN_FAILED)
            .failed(1)
            .failure();
        assert_eq!(reason, expected, "{status_reason}: {message}: {words}");
    }
}

#[test]
fn a_disruption_names_who_disrupted() {
    for (cause, message, expected) in [
        ("EvictionByEvictionAPI", "Eviction API: evicting", Reason::Evicted),
        (
            "PreemptionByScheduler",
            "default-scheduler: preempting",
            Reason::Evicted,
        ),
        (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            Reason::NodeLost,
        ),
        (
            "DeletionByPodGC",
            "PodGC: node no longer exists",
            Reason::NodeLost,
        ),
        (
            "TerminationByKubelet",
            "Pod was terminated in response to imminent node shutdown.",
            Reason::NodeLost,
        ),
        (
            "TerminationByKubelet",
            "The node was low on resource: ephemeral-storage.",
            Reason::DiskFull,
        ),
        (
            "TerminationByKubelet",
            "The node was low on resource: memory.",
            Reason::Evicted,
        ),
    ] {
        let status = json!({
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": cause, "message": message}],
            "containerStatuses": [terminated("kaniko", 2, "Error", None)],
        });
        let (reason, words) = Scene::new()
            .pod("Failed", status)
            .log(RUN_FAILED)
            .failed(1)
            .failure();
        assert_eq!(reason, expected, "{cause}: {message}");
        assert!(words.contains(message), "{words}");
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let status = json!({"containerStatuses": [terminated("kaniko", 0, "OOMKilled", Some(DIGEST))]});
    let scene = Scene::new()
        .pod("Succeeded", status)
        .condition("Complete", "CompletionsReached", 0);
    let Outcome::Succeeded { digest: Some(digest) } = scene.look().outcome else {
        panic!(
            "a step outlived the process that was killed in it: {:?}",
            scene.look()
        );
    };
    assert_eq!(digest.as_str(), DIGEST);
    // A digest says nothing about the push, and a log is no digest.
    let failed = json!({"containerStatuses": [terminated("kaniko", 1, "Error", Some(DIGEST))]});
    let scene = Scene::new().pod("Failed", failed).log(PUSH_DOWN).failed(1);
    assert_eq!(scene.failure().0, Reason::RegistryUnavailable);
    let log =
        json!({"containerStatuses": [terminated("kaniko", 0, "Completed", Some("INFO[0000] Pushed r/x"))]});
    let scene = Scene::new()
        .pod("Succeeded", log)
        .condition("Complete", "CompletionsReached", 0);
    assert_eq!(scene.look().outcome, Outcome::Succeeded { digest: None });
}

#[test]
fn a_killed_process_is_out_of_memory_where_memory_is_what_it_died_of() {
    let cases = [
        (137, "OOMKilled", "", Reason::OutOfMemory),
        (7, "OOMKilled", RUN_FAILED, Reason::OutOfMemory),
        // The step got over it; the push did not.
        (1, "OOMKilled", PUSH_DOWN, Reason::RegistryUnavailable),
        (
            137,
            "Error",
            "INFO[0000] Running: [/bin/sh -c x]\n",
            Reason::Unknown,
        ),
        (137, "ContainerStatusUnknown", "", Reason::NodeLost),
        (128, "StartError", "", Reason::LaunchFailed),
        (127, "ContainerCannotRun", "", Reason::LaunchFailed),
        (2, "Error", "", Reason::Unknown),
        (7, "Error", RUN_FAILED, Reason::BuildStepFailed),
    ];
    for (code, container_reason, log, expected) in cases {
        let (reason, words) = Scene::new()
            .exited(code, container_reason, log)
            .failed(1)
            .failure();
        assert_eq!(reason, expected, "{code} {container_reason}");
        if reason == Reason::OutOfMemory {
            assert_eq!(words, "The build used more memory than its limit of 2Gi.");
        }
    }
}

#[test]
fn the_termination_message_stands_in_for_a_log_that_is_not_there() {
    let status = json!({"containerStatuses": [terminated("kaniko", 7, "Error", Some(RUN_FAILED))]});
    let Outcome::Failed(failure) = Scene::new().pod("Failed", status).failed(1).look().outcome else {
        panic!("it has failed");
    };
    assert_eq!(
        (failure.reason, failure.exit_code),
        (Reason::BuildStepFailed, Some(7))
    );
    assert!(failure.log_snippet.expect("a snippet").contains("boom"));
}

#[test]
fn a_failed_pod_without_containers_says_what_it_can() {
    let status = json!({"reason": "SysctlForbidden", "message": "forbidden sysctl"});
    let (reason, words) = Scene::new().pod("Failed", status).failed(1).failure();
    assert_eq!(
        (reason, words.as_str()),
        (Reason::Unknown, "The pod failed: forbidden sysctl")
    );
}

#[test]
fn fetch_context_has_a_language_of_its_own() {
    for (code, container_reason, expected) in [
        (EXIT_CONTEXT_INVALID, "Error", Reason::ContextInvalid),
        (EXIT_FETCH_FAILED, "Error", Reason::SourceFetchFailed),
        (1, "Error", Reason::SourceFetchFailed),
        (137, "OOMKilled", Reason::OutOfMemory),
        (128, "StartError", Reason::LaunchFailed),
    ] {
        let status = json!({
            "initContainerStatuses": [terminated("fetch-context", code, container_reason, Some("the archive has a link out\n"))],
            "containerStatuses": [waiting("kaniko", "PodInitializing", "")],
        });
        let scene = Scene::new().pod("Failed", status).failed(1);
        let (reason, words) = scene.failure();
        assert_eq!(reason, expected, "{code} {container_reason}");
        assert!(
            code > 100 || words.contains("the archive has a link out"),
            "{words}"
        );
        assert_eq!(scene.look().attempts[0].exit_code, Some(code));
    }
    // A step's exit code is not fetch-context's.
    let log = RUN_FAILED.replace("status 7", "status 65");
    assert_eq!(
        Scene::new().exited(65, "Error", &log).failed(1).failure().0,
        Reason::BuildStepFailed
    );
}

#[test]
fn another_init_container_that_runs_kaniko_is_read_as_kaniko() {
    let status = json!({
        "initContainerStatuses": [terminated("fetch-context", 0, "Completed", None), terminated("build", 7, "Error", None)],
        "containerStatuses": [waiting("kaniko", "PodInitializing", "")],
    });
    assert_eq!(
        Scene::new()
            .pod("Failed", status)
            .log(RUN_FAILED)
            .failed(1)
            .failure()
            .0,
        Reason::BuildStepFailed
    );
}
