//! What a real cluster showed, adapted to the pods of now.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp, Unit};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway::domain::BuildId;

use crate::puppet::node::now;

pub struct Recorded {
    statuses: Vec<Value>,
    events: Vec<Value>,
    log: Vec<u8>,
}

impl Recorded {
    pub fn load(case: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes");
        let read = |end: &str| fs::read(folder.join(format!("{case}.{end}"))).unwrap_or_default();
        let mut pods = objects(&read("pod.yaml"));
        pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].to_string());
        let log = read("log");
        Self {
            // One file holds the logs of all pods, which are alike.
            log: log[..log.len() / pods.len().max(1)].to_vec(),
            statuses: pods.iter().map(|pod| pod["status"].clone()).collect(),
            events: objects(&read("events.yaml")),
        }
    }

    pub fn log(&self) -> &[u8] {
        &self.log
    }

    /// The status of its (first) pod, as if it had come to it just now.
    pub fn status(&self) -> Value {
        self.status_at(now())
    }

    /// As if it had come to it then, by its node's clock. Kubernetes counts its pause from there.
    pub fn status_at(&self, then: Timestamp) -> Value {
        let mut status = self.statuses.first().expect("a pod was recorded").clone();
        let fields = status.as_object_mut().expect("an object");
        let told = [
            "phase",
            "reason",
            "message",
            "conditions",
            "containerStatuses",
            "startTime",
        ];
        fields.retain(|name, _| told.contains(&name.as_str()));
        for list in ["conditions", "containerStatuses"] {
            for one in fields
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let one = one.as_object_mut().expect("an object");
                // Of this node's own and of its pod's spec.
                for name in [
                    "observedGeneration",
                    "allocatedResources",
                    "resources",
                    "volumeMounts",
                ] {
                    one.remove(name);
                }
            }
        }
        move_to(&mut status, then);
        status
    }

    /// Whether its container ran at all.
    pub fn ran(&self) -> bool {
        let state = &self.statuses.first().expect("a pod was recorded")["containerStatuses"][0]["state"];
        state.get("running").is_some()
            || state["terminated"]["reason"]
                .as_str()
                .is_some_and(|reason| reason != "StartError")
    }

    /// Warnings about its pod, as if they were about this one.
    pub fn warnings(&self, namespace: &str, pod: &str, uid: &str) -> Vec<Value> {
        let about_pod =
            |event: &&Value| event["involvedObject"]["kind"] == "Pod" && event["type"] == "Warning";
        let adapt = |event: &Value| {
            let mut event = event.clone();
            move_to(&mut event, now());
            event["metadata"] =
                json!({ "name": format!("{pod}.{}", BuildId::generate()), "namespace": namespace });
            event["involvedObject"] = json!({
                "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod, "uid": uid,
            });
            event
        };
        self.events.iter().filter(about_pod).map(adapt).collect()
    }
}

/// The objects of a file: documents, or Lists of them.
fn objects(text: &[u8]) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_slice(text).map(Value::deserialize);
    documents
        .map(|document| document.expect("YAML"))
        .flat_map(|mut document| match document["items"].take() {
            Value::Array(items) => items,
            _ if document["kind"] == "List" || document.is_null() => Vec::new(),
            _ => vec![document],
        })
        .collect()
}

/// Moves all times so that the latest is then.
fn move_to(value: &mut Value, then: Timestamp) {
    let mut latest = None;
    each_time(value, &mut |at| {
        latest = latest.max(Some(at));
        at
    });
    if let Some(latest) = latest {
        let by: SignedDuration = latest.duration_until(then);
        each_time(value, &mut |at| {
            (at + by).round(Unit::Second).expect("a time of this century")
        });
    }
}

fn each_time(value: &mut Value, change: &mut impl FnMut(Timestamp) -> Timestamp) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| each_time(field, change)),
        Value::Array(items) => items.iter_mut().for_each(|item| each_time(item, change)),
        Value::String(text) => {
            // A container that never started is said to have started in 1970.
            if let Some(at) = text
                .parse::<Timestamp>()
                .ok()
                .filter(|at| *at > Timestamp::UNIX_EPOCH)
            {
                *text = change(at).to_string();
            }
        }
        _ => {}
    }
}
