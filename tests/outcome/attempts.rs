//! Several attempts: which of them counts, and how many.

use serde_json::json;
use slipway::domain::{Outcome, Reason, outcome::Advice};

use crate::outcome::scene::{DIGEST, PUSH_DOWN, RUN_FAILED, Scene, running, terminated};

#[test]
fn the_last_failed_pod_tells_why_the_build_failed() {
    let scene = Scene::new()
        .exited(1, "Error", PUSH_DOWN)
        .exited(7, "Error", RUN_FAILED)
        .failed(2);
    assert_eq!(scene.failure().0, Reason::BuildStepFailed);
    let seen = scene.look();
    let reasons: Vec<_> = seen
        .attempts
        .iter()
        .map(|attempt| attempt.failure.as_ref().expect("failed").reason)
        .collect();
    assert_eq!(reasons, [Reason::RegistryUnavailable, Reason::BuildStepFailed]);
    assert_eq!(seen.failed_attempts, 2);
    assert_eq!(seen.attempts[1].node.as_deref(), Some("node-1"));
    assert!(seen.attempts[1].finished_at > seen.attempts[1].started_at);
    // The order in which they are listed is nobody's concern.
    let mut shuffled = scene;
    shuffled.pods.reverse();
    assert_eq!(shuffled.look(), seen);
}

#[test]
fn an_eviction_before_a_success_is_history() {
    let evicted = json!({
        "reason": "Evicted", "message": "The node was low on resource: memory.",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
    });
    let success = json!({"containerStatuses": [terminated("kaniko", 0, "Completed", Some(DIGEST))]});
    let scene = Scene::new()
        .pod("Failed", evicted)
        .pod("Succeeded", success)
        .condition("Complete", "x", 0);
    let seen = scene.look();
    assert!(
        matches!(seen.outcome, Outcome::Succeeded { digest: Some(_) }),
        "{seen:?}"
    );
    assert_eq!(seen.failed_attempts, 0, "the Job does not count it");
    assert_eq!(
        seen.attempts[0].failure.as_ref().map(|failure| failure.reason),
        Some(Reason::Evicted)
    );
    assert!(seen.attempts[1].succeeded);
}

#[test]
fn a_pod_that_outgrew_its_own_limit_is_counted_before_the_job_says_so() {
    // The kubelet evicts it without a DisruptionTarget, and so the Job counts it.
    let words = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
    let seen = Scene::new()
        .pod("Failed", json!({"reason": "Evicted", "message": words}))
        .condition("FailureTarget", "BackoffLimitExceeded", 0)
        .look();
    let Outcome::Failed(failure) = &seen.outcome else {
        panic!("{seen:?}")
    };
    assert_eq!((failure.reason, seen.failed_attempts), (Reason::DiskFull, 1));
}

#[test]
fn a_pod_that_is_gone_and_one_that_is_not_counted_yet_are_two() {
    let tracked = |scene: Scene| {
        let mut scene = scene;
        let pod = scene.pods.last_mut().expect("the scene has a pod");
        pod["metadata"]["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
        scene
    };
    let failing = |counted| {
        Scene::new().exited(7, "Error", RUN_FAILED).condition(
            "FailureTarget",
            "BackoffLimitExceeded",
            counted,
        )
    };
    let about_to = |scene: Scene| {
        scene.job(|job| job["status"]["uncountedTerminatedPods"] = json!({"failed": ["pod-1"]}))
    };
    // Another one was deleted by hand, and counted.
    assert_eq!(tracked(failing(1)).look().failed_attempts, 2);
    assert_eq!(about_to(tracked(failing(1))).look().failed_attempts, 2);
    assert_eq!(about_to(failing(1)).look().failed_attempts, 2);
    assert_eq!(failing(2).look().failed_attempts, 2);
    // There was no other.
    assert_eq!(tracked(failing(0)).look().failed_attempts, 1);
    assert_eq!(failing(1).look().failed_attempts, 1);
    // Once the Job has made up its mind, only the view of the pod trails.
    assert_eq!(
        tracked(Scene::new().exited(7, "Error", RUN_FAILED).failed(1))
            .look()
            .failed_attempts,
        1
    );
}

#[test]
fn a_pod_that_goes_with_its_job_has_not_failed_unless_it_had_before() {
    let killed = Scene::new()
        .exited(2, "Error", "INFO[0000] RUN make\n")
        .deleting();
    assert_eq!(killed.look().failed_attempts, 1, "the Job is there and counts it");
    let killed = killed.job(|job| job["spec"]["suspend"] = json!(true));
    assert_eq!(
        killed.look().failed_attempts,
        0,
        "it was stopped with the suspended Job"
    );
    assert_eq!(killed.without_job().look().failed_attempts, 0);
    let broken = Scene::new().exited(7, "Error", RUN_FAILED).deleting();
    assert_eq!(broken.without_job().look().failed_attempts, 1);
}

#[test]
fn a_pointless_retry_is_stopped_and_a_useful_one_is_not() {
    let between = |log: &str, code| {
        Scene::new()
            .exited(code, "Error", log)
            .job(|job| job["status"] = json!({"failed": 1}))
    };
    let pointless = between(RUN_FAILED, 7);
    assert_eq!(pointless.look().advice, Advice::StopRetrying);
    pointless.waits_for(
        None,
        "Another attempt follows. The last one failed: The step `RUN make` failed",
    );
    let useful = between(PUSH_DOWN, 1);
    assert_eq!(useful.look().advice, Advice::None);
    useful.waits_for(None, "could not be reached");
    // Nothing is to be done once it was done, or once the Job has ended or is going.
    let stopped = between(RUN_FAILED, 7).job(|job| job["spec"]["backoffLimit"] = json!(0));
    assert_eq!(stopped.look().advice, Advice::None);
    assert_eq!(between(RUN_FAILED, 7).failed(1).look().advice, Advice::None);
    let deleting = between(RUN_FAILED, 7)
        .job(|job| job["metadata"]["deletionTimestamp"] = json!("2026-11-23T07:00:00Z"));
    assert_eq!(deleting.look().advice, Advice::None);
    assert!(deleting.look().deleting);
    // Too late to stop it before the next attempt began: stop it all the same.
    let begun = between(RUN_FAILED, 7).pod("Running", json!({"containerStatuses": [running("kaniko")]}));
    assert_eq!(begun.look().advice, Advice::StopRetrying);
    assert!(matches!(begun.look().outcome, Outcome::Running { .. }));
}
