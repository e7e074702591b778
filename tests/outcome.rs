//! Jobs and Pods as a cluster may show them, and what they amount to. The recorded ones are in `classify.rs`.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use serde_json::{Value, json};
use slipway::{
    domain::{Outcome, Phase, Reason, Sighting, outcome::Advice},
    launcher::outcome::{EXIT_CONTEXT_INVALID, EXIT_FETCH_FAILED, Evidence, PodLog, sighting},
};

const DIGEST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const RUN_FAILED: &str = "INFO[0000] RUN make\nINFO[0000] Running: [/bin/sh -c make]\nboom\n\
    error building image: error building stage: failed to execute command: waiting for process to exit: exit status 7\n";
const PUSH_DOWN: &str = "INFO[0000] Pushing image to r/x:1\nerror pushing image: failed to push to destination r/x:1: \
    PUT https://r/v2/x/manifests/1: unexpected status code 503 Service Unavailable\n";

/// What a cluster shows of one build.
struct Scene {
    job: Option<Value>,
    pods: Vec<Value>,
    events: Vec<Value>,
    logs: Vec<(String, String)>,
}

impl Scene {
    fn new() -> Self {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "build-1", "uid": "job-1"},
            "spec": {"backoffLimit": 3, "template": {}},
            "status": {"active": 1},
        });
        Self {
            job: Some(job),
            pods: vec![],
            events: vec![],
            logs: vec![],
        }
    }

    fn job(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(self.job.as_mut().expect("the scene has a Job"));
        self
    }

    /// The pods as they are until they are scheduled.
    fn without_node(mut self) -> Self {
        for pod in &mut self.pods {
            pod["spec"]
                .as_object_mut()
                .expect("a pod has a spec")
                .remove("nodeName");
        }
        self
    }

    fn without_job(mut self) -> Self {
        self.job = None;
        self
    }

    /// The Job's status, with one condition that is true.
    fn condition(self, kind: &str, reason: &str, failed: u32) -> Self {
        self.job(|job| {
            job["status"] = json!({
                "failed": failed,
                "conditions": [{"type": kind, "status": "True", "reason": reason, "message": "the Job's words"}],
            });
        })
    }

    fn failed(self, count: u32) -> Self {
        self.condition("Failed", "BackoffLimitExceeded", count)
    }

    fn pod(mut self, phase: &str, status: Value) -> Self {
        let number = self.pods.len() + 1;
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("build-1-{number}"), "uid": format!("pod-{number}"),
                "creationTimestamp": format!("2026-11-23T06:0{number}:00Z"),
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "build-1", "uid": "job-1"}],
            },
            "spec": {"nodeName": "node-1", "containers": [
                {"name": "istio-proxy"},
                {"name": "kaniko", "resources": {"limits": {"memory": "2Gi"}}},
            ]},
            "status": status,
        });
        pod["status"]["phase"] = json!(phase);
        self.pods.push(pod);
        self
    }

    /// The youngest pod is being deleted.
    fn deleting(mut self) -> Self {
        let pod = self.pods.last_mut().expect("the scene has a pod");
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T07:00:00Z");
        self
    }

    fn exited(self, code: i32, reason: &str, log: &str) -> Self {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.pod(
            phase,
            json!({"containerStatuses": [terminated("kaniko", code, reason, None)]}),
        )
        .log(log)
    }

    /// The log of the youngest pod.
    fn log(mut self, text: &str) -> Self {
        self.logs
            .push((format!("build-1-{}", self.pods.len()), text.to_owned()));
        self
    }

    fn event(mut self, kind: &str, object: &str, reason: &str, message: &str) -> Self {
        let number = self.events.len();
        self.events.push(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("event-{number}")},
            "involvedObject": {"kind": kind, "name": object},
            "reason": reason, "message": message,
            "lastTimestamp": format!("2026-11-23T06:30:0{number}Z"),
        }));
        self
    }

    fn look(&self) -> Sighting {
        let read = |value: &Value| -> Pod { serde_json::from_value(value.clone()).expect("a Pod") };
        let job: Option<Job> = self
            .job
            .clone()
            .map(|job| serde_json::from_value(job).expect("a Job"));
        let pods: Vec<Pod> = self.pods.iter().map(read).collect();
        let events: Vec<Event> = self
            .events
            .iter()
            .map(|event| serde_json::from_value(event.clone()).expect("an Event"))
            .collect();
        let logs: Vec<PodLog<'_>> = self
            .logs
            .iter()
            .map(|(pod, text)| PodLog {
                pod,
                text: text.as_bytes(),
                phase: None,
            })
            .collect();
        sighting(&Evidence {
            job: job.as_ref(),
            pods: &pods,
            events: &events,
            logs: &logs,
        })
    }

    /// The reason of a build that failed, and the words for it.
    #[track_caller]
    fn failure(&self) -> (Reason, String) {
        match self.look().outcome {
            Outcome::Failed(failure) => (failure.reason, failure.message),
            other => panic!("it has failed, but is seen as {other:?}"),
        }
    }

    #[track_caller]
    fn waits_for(&self, reason: Option<Reason>, words: &str) {
        match self.look().outcome {
            Outcome::Waiting {
                reason: found,
                message,
            } => {
                assert_eq!(found, reason);
                assert!(
                    message.as_deref().unwrap_or_default().contains(words),
                    "{message:?}"
                );
            }
            other => panic!("it waits, but is seen as {other:?}"),
        }
    }
}

fn terminated(name: &str, code: i32, reason: &str, message: Option<&str>) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {
        "exitCode": code, "reason": reason, "message": message,
        "startedAt": "2026-11-23T06:10:00Z", "finishedAt": "2026-11-23T06:11:00Z",
    }}})
}

fn waiting(name: &str, reason: &str, message: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}})
}

fn running(name: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-23T06:10:00Z"}}})
}

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
