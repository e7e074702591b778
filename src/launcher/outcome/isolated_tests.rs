//! Observations of two containers, one that builds and one that pushes.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Evidence, PodLog, sighting};
use crate::domain::{Outcome, Phase, Reason, Sighting};

const DIGEST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const DENIED: &str = "\x1b[36mINFO\x1b[0m[0000] Pushing image to r.test/x:1\n\
    Error: pushing image: failed to push to destination r.test/x:1: PUT https://r.test/v2/x/manifests/1: DENIED: denied\n\
    Usage:\n  executor push <path> [flags]\n";
const UNAUTHORIZED: &str = "Error: checking push permissions: checking push permission for \"r.test/x:1\": \
    POST https://r.test/v2/x/blobs/uploads/: UNAUTHORIZED: authentication required\n\
    Usage:\n  executor push <path> [flags]\n";
const RUN_FAILED: &str = "INFO[0000] RUN make\nINFO[0000] Running: [/bin/sh -c make]\nboom\n\
    error building image: error building stage: failed to execute command: waiting for process to exit: exit status 7\n";

fn look(build: &Value, push: &Value, phase: &str, log: &str) -> Sighting {
    let status = |name: &str, state: &Value| json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
    let limits = json!({ "limits": { "memory": "2Gi" } });
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "p", "creationTimestamp": "2026-11-23T06:00:00Z" },
        "spec": {
            "initContainers": [{ "name": "build", "resources": limits }], "containers": [{ "name": "push" }],
        },
        "status": {
            "phase": phase,
            "initContainerStatuses": [status("build", build)], "containerStatuses": [status("push", push)],
        },
    }))
    .expect("it is a pod");
    let job = serde_json::from_value(json!({
        "metadata": { "name": "build-1", "uid": "u" }, "spec": { "backoffLimit": 3, "template": {} },
    }))
    .expect("it is a Job");
    let log = PodLog {
        pod: "p",
        text: log.as_bytes(),
        phase: None,
    };
    sighting(&Evidence {
        job: Some(&job),
        pods: &[pod],
        events: &[],
        logs: &[log],
    })
}

fn waiting(reason: &str) -> Value {
    json!({ "waiting": { "reason": reason } })
}

fn running(second: u32) -> Value {
    json!({ "running": { "startedAt": format!("2026-11-23T06:00:0{second}Z") } })
}

fn ended(code: i32, reason: &str, message: Option<&str>) -> Value {
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "message": message,
        "startedAt": "2026-11-23T06:00:01Z", "finishedAt": "2026-11-23T06:00:05Z",
    }})
}

fn phase(seen: &Sighting) -> Phase {
    match seen.outcome {
        Outcome::Running { phase } => phase,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_container_tells_the_phase() {
    let init = waiting("PodInitializing");
    let built = ended(0, "Completed", Some(DIGEST));
    assert_eq!(phase(&look(&running(1), &init, "Pending", "")), Phase::Fetching);
    let log = "INFO[0000] RUN make\n";
    assert_eq!(phase(&look(&running(1), &init, "Pending", log)), Phase::Building);
    let lie = "INFO[0000] RUN make\nINFO[0000] Pushing image to r.test/x:1\n";
    assert_eq!(phase(&look(&running(1), &init, "Pending", lie)), Phase::Building);
    let between = look(&built, &init, "Pending", "");
    assert_eq!(phase(&between), Phase::Pushing);
    assert!(between.attempts[0].running && between.attempts[0].exit_code.is_none());
    let pushing = look(&built, &running(6), "Running", "");
    assert_eq!(phase(&pushing), Phase::Pushing);
    let started = pushing.attempts[0].started_at.expect("it has begun");
    assert_eq!(started.to_string(), "2026-11-23T06:00:01Z", "with the build");
}

#[test]
fn an_image_that_the_node_lost_meanwhile_is_waited_for() {
    let seen = look(
        &ended(0, "Completed", Some(DIGEST)),
        &waiting("ErrImagePull"),
        "Pending",
        "",
    );
    let Outcome::Waiting { reason, .. } = seen.outcome else {
        panic!("{:?}", seen.outcome);
    };
    assert_eq!(reason, Some(Reason::BuilderImageUnavailable));
}

#[test]
fn what_is_built_and_pushed_has_the_digest_of_what_was_built() {
    let built = ended(0, "Completed", Some(DIGEST));
    let seen = look(&built, &ended(0, "Completed", None), "Succeeded", "");
    assert!(seen.attempts[0].succeeded && seen.attempts[0].failure.is_none());
    let gone = sighting_of_gone(&built);
    assert_eq!(
        gone.outcome,
        Outcome::Succeeded {
            digest: Some(DIGEST.parse().expect("it is a digest"))
        }
    );
}

/// Returns the observation from the pod alone, when the Job is gone already.
fn sighting_of_gone(built: &Value) -> Sighting {
    let status = |name: &str, state: &Value| json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "p" }, "spec": { "containers": [] },
        "status": {
            "phase": "Succeeded", "initContainerStatuses": [status("build", built)],
            "containerStatuses": [status("push", &ended(0, "Completed", None))],
        },
    }))
    .expect("it is a pod");
    sighting(&Evidence {
        job: None,
        pods: &[pod],
        events: &[],
        logs: &[],
    })
}

#[test]
fn a_failed_build_is_the_builds_failure() {
    // A kubelet may report the same for a container that never started as for one that it lost.
    for push in [
        waiting("PodInitializing"),
        ended(137, "ContainerStatusUnknown", None),
    ] {
        let seen = look(&ended(7, "Error", None), &push, "Failed", RUN_FAILED);
        let failure = seen.attempts[0].failure.clone().expect("it has failed");
        assert_eq!(
            (failure.reason, failure.exit_code),
            (Reason::BuildStepFailed, Some(7))
        );
        assert!(failure.message.contains("RUN make"), "{}", failure.message);
    }
    let seen = look(
        &ended(137, "OOMKilled", None),
        &waiting("PodInitializing"),
        "Failed",
        "INFO[0000] RUN make\n",
    );
    let failure = seen.attempts[0].failure.clone().expect("it has failed");
    assert_eq!(failure.reason, Reason::OutOfMemory);
    assert!(failure.message.contains("2Gi"), "{}", failure.message);
}

#[test]
fn a_failed_push_is_the_registrys_answer() {
    let built = ended(0, "Completed", Some(DIGEST));
    for (log, reason) in [
        (DENIED, Reason::PushDenied),
        (UNAUTHORIZED, Reason::RegistryUnauthorized),
    ] {
        let seen = look(&built, &ended(1, "Error", None), "Failed", log);
        let failure = seen.attempts[0].failure.clone().expect("it has failed");
        assert_eq!((failure.reason, failure.exit_code), (reason, Some(1)), "{log}");
        assert!(
            !failure.log_snippet.expect("there is a log").contains("Usage"),
            "{log}"
        );
    }
}
