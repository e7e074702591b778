//! Jobs that ended, and Jobs that are gone.

use serde_json::json;
use slipway::domain::{Outcome, Phase, Reason, outcome::Advice};

use crate::outcome::scene::{PUSH_DOWN, RUN_FAILED, Scene, running};

#[test]
fn what_ended_is_final_once_the_job_says_so() {
    let scene = Scene::new().exited(0, "Completed", "");
    assert_eq!(
        scene.look().outcome,
        Outcome::Running {
            phase: Phase::Pushing
        }
    );
    assert!(scene.look().attempts[0].succeeded);
    assert!(matches!(
        scene.condition("SuccessCriteriaMet", "x", 0).look().outcome,
        Outcome::Succeeded { .. }
    ));
    let failing =
        Scene::new()
            .exited(7, "Error", RUN_FAILED)
            .condition("FailureTarget", "BackoffLimitExceeded", 1);
    assert_eq!(failing.failure().0, Reason::BuildStepFailed);
    let still = failing
        .pod("Running", json!({"containerStatuses": [running("kaniko")]}))
        .deleting();
    assert!(
        matches!(still.look().outcome, Outcome::Running { .. }),
        "it may push yet"
    );
    // A Job that is being deleted may never say so.
    let deleting = Scene::new()
        .exited(0, "Completed", "")
        .job(|job| job["metadata"]["deletionTimestamp"] = json!("2026-11-23T07:00:00Z"));
    assert!(matches!(deleting.look().outcome, Outcome::Succeeded { .. }));
    // The image was pushed before the Job's deadline was noticed.
    let late = Scene::new()
        .exited(0, "Completed", "")
        .condition("Failed", "DeadlineExceeded", 1);
    assert_eq!(late.look().outcome, Outcome::Succeeded { digest: None });
}

#[test]
fn a_deadline_is_a_deadline_whatever_failed_before() {
    let scene = Scene::new()
        .exited(1, "Error", PUSH_DOWN)
        .condition("Failed", "DeadlineExceeded", 1);
    let (reason, words) = scene
        .job(|job| job["spec"]["activeDeadlineSeconds"] = json!(90))
        .failure();
    assert_eq!(
        (reason, words.as_str()),
        (
            Reason::TimedOut,
            "The build took longer than its timeout of 90 seconds."
        )
    );
    // Where the pod has the timeout, the Job's deadline is another.
    let (_, words) = Scene::new()
        .condition("Failed", "DeadlineExceeded", 1)
        .job(|job| {
            job["spec"]["activeDeadlineSeconds"] = json!(90);
            job["spec"]["template"]["spec"] = json!({"activeDeadlineSeconds": 9, "containers": []});
        })
        .failure();
    assert_eq!(words, "All in all, the build took longer than 90 seconds.");
}

#[test]
fn a_pod_that_was_deleted_by_hand_leaves_little() {
    let (reason, words) = Scene::new().failed(1).failure();
    assert_eq!(reason, Reason::Unknown);
    assert!(
        words.contains("none of its pods is left to tell why: the Job's words"),
        "{words}"
    );
    let stopped = Scene::new()
        .exited(2, "Error", "INFO[0000] RUN x\n")
        .deleting()
        .failed(1)
        .failure();
    assert_eq!(
        stopped,
        (
            Reason::Unknown,
            "The pod was deleted before it had ended.".to_owned()
        )
    );
}

#[test]
fn a_pod_that_was_left_behind_by_its_job_is_not_going_until_it_is_deleted_itself() {
    let running = || Scene::new().pod("Running", json!({"containerStatuses": [running("kaniko")]}));
    assert!(!running().look().deleting);
    let orphan = running().without_job().look();
    assert!(
        !orphan.deleting,
        "it goes on, and whoever cancels the build must stop it"
    );
    assert!(running().deleting().without_job().look().deleting);
}

#[test]
fn of_a_job_that_is_gone_its_pods_tell() {
    let gone = |scene: Scene| {
        let seen = scene.without_job().look();
        assert_eq!(seen.advice, Advice::None);
        seen
    };
    let orphan = gone(Scene::new().pod("Running", json!({"containerStatuses": [running("kaniko")]})));
    assert_eq!(orphan.external_id, "job-1", "its pods still name it");
    assert!(
        matches!(orphan.outcome, Outcome::Running { .. }),
        "it may push yet"
    );
    let succeeded = gone(Scene::new().exited(0, "Completed", ""));
    assert!(matches!(succeeded.outcome, Outcome::Succeeded { .. }));
    let failed = gone(Scene::new().exited(7, "Error", RUN_FAILED));
    assert!(matches!(failed.outcome, Outcome::Failed(failure) if failure.reason == Reason::BuildStepFailed));
    let nothing = gone(Scene::new());
    assert!(matches!(nothing.outcome, Outcome::Failed(failure) if failure.reason == Reason::JobLost));
}
