//! What a cluster shows of one build, as a test makes it up.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use serde_json::{Value, json};
use slipway::{
    domain::{Outcome, Reason, Sighting},
    launcher::outcome::{Evidence, PodLog, sighting},
};

pub const DIGEST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
pub const RUN_FAILED: &str = "INFO[0000] RUN make\nINFO[0000] Running: [/bin/sh -c make]\nboom\n\
    error building image: error building stage: failed to execute command: waiting for process to exit: exit status 7\n";
pub const PUSH_DOWN: &str = "INFO[0000] Pushing image to r/x:1\nerror pushing image: failed to push to destination r/x:1: \
    PUT https://r/v2/x/manifests/1: unexpected status code 503 Service Unavailable\n";

/// What a cluster shows of one build.
pub struct Scene {
    pub job: Option<Value>,
    pub pods: Vec<Value>,
    pub events: Vec<Value>,
    pub logs: Vec<(String, String)>,
}

impl Scene {
    pub fn new() -> Self {
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

    pub fn job(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(self.job.as_mut().expect("the scene has a Job"));
        self
    }

    /// The pods as they are until they are scheduled.
    pub fn without_node(mut self) -> Self {
        for pod in &mut self.pods {
            pod["spec"]
                .as_object_mut()
                .expect("a pod has a spec")
                .remove("nodeName");
        }
        self
    }

    pub fn without_job(mut self) -> Self {
        self.job = None;
        self
    }

    /// The Job's status, with one condition that is true.
    pub fn condition(self, kind: &str, reason: &str, failed: u32) -> Self {
        self.job(|job| {
            job["status"] = json!({
                "failed": failed,
                "conditions": [{"type": kind, "status": "True", "reason": reason, "message": "the Job's words"}],
            });
        })
    }

    pub fn failed(self, count: u32) -> Self {
        self.condition("Failed", "BackoffLimitExceeded", count)
    }

    pub fn pod(mut self, phase: &str, status: Value) -> Self {
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
    pub fn deleting(mut self) -> Self {
        let pod = self.pods.last_mut().expect("the scene has a pod");
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T07:00:00Z");
        self
    }

    pub fn exited(self, code: i32, reason: &str, log: &str) -> Self {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.pod(
            phase,
            json!({"containerStatuses": [terminated("kaniko", code, reason, None)]}),
        )
        .log(log)
    }

    /// The log of the youngest pod.
    pub fn log(mut self, text: &str) -> Self {
        self.logs
            .push((format!("build-1-{}", self.pods.len()), text.to_owned()));
        self
    }

    pub fn event(mut self, kind: &str, object: &str, reason: &str, message: &str) -> Self {
        let number = self.events.len();
        self.events.push(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("event-{number}")},
            "involvedObject": {"kind": kind, "name": object},
            "reason": reason, "message": message,
            "lastTimestamp": format!("2026-11-23T06:30:0{number}Z"),
        }));
        self
    }

    pub fn look(&self) -> Sighting {
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
    pub fn failure(&self) -> (Reason, String) {
        match self.look().outcome {
            Outcome::Failed(failure) => (failure.reason, failure.message),
            other => panic!("it has failed, but is seen as {other:?}"),
        }
    }

    #[track_caller]
    pub fn waits_for(&self, reason: Option<Reason>, words: &str) {
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

pub fn terminated(name: &str, code: i32, reason: &str, message: Option<&str>) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {
        "exitCode": code, "reason": reason, "message": message,
        "startedAt": "2026-11-23T06:10:00Z", "finishedAt": "2026-11-23T06:11:00Z",
    }}})
}

pub fn waiting(name: &str, reason: &str, message: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}})
}

pub fn running(name: &str) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-23T06:10:00Z"}}})
}
