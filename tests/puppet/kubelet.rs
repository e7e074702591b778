//! The kubelet of a node that is none: tests say what becomes of its pods, and it tells the API server in a kubelet's
//! way. Deletions it honours by itself.

use std::{collections::HashSet, sync::Arc};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Binding, Event, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
    runtime::watcher,
};
use serde_json::{Value, json};
use slipway::domain::BuildId;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use crate::{
    puppet::logs::Logs,
    puppet::node::{Node, now},
    support::cluster::object,
};

/// What a kubelet keeps of a log's end as the termination message.
const LAST_WORDS: usize = 2048;

pub struct Kubelet {
    pub node: Node,
    pub logs: Arc<Logs>,
    events: Api<Event>,
    frozen: watch::Sender<bool>,
    hands: Hands,
    tasks: [JoinHandle<()>; 2],
}

/// What ends pods.
#[derive(Clone)]
struct Hands {
    pods: Api<Pod>,
    logs: Arc<Logs>,
    frozen: watch::Receiver<bool>,
    /// A container ends once: whether by itself or by deletion is settled one at a time.
    turn: Arc<Mutex<()>>,
}

impl Kubelet {
    pub async fn start(client: &Client, namespace: &str) -> Self {
        // As the API server reaches this machine.
        let host = std::env::var("SLIPWAY_TEST_KUBELET_HOST").unwrap_or_else(|_| "127.0.0.1".into());
        let (logs, port, serving) = Logs::serve(&host).await;
        let node = Node::register(client, &format!("puppet-{}", BuildId::generate()), &host, port).await;
        let frozen = watch::Sender::new(false);
        let hands = Hands {
            pods: Api::namespaced(client.clone(), namespace),
            logs: logs.clone(),
            frozen: frozen.subscribe(),
            turn: Arc::default(),
        };
        let stopping = tokio::spawn(hands.clone().honour_deletions(node.name.clone()));
        Self {
            node,
            logs,
            events: Api::namespaced(client.clone(), namespace),
            frozen,
            hands,
            tasks: [serving, stopping],
        }
    }

    /// It does nothing by itself any more, as if it were stopped; or goes on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// The pod is this node's. A scheduler may have been quicker, and has no other choice.
    pub async fn bind(&self, pod: &str) {
        let target = json!({ "apiVersion": "v1", "kind": "Node", "name": self.node.name });
        let binding: Binding = object(json!({ "metadata": { "name": pod }, "target": target }));
        let bound: kube::Result<Status> = self
            .hands
            .pods
            .create_subresource("binding", pod, &PostParams::default(), &binding)
            .await;
        if bound.is_err() {
            let found = self.hands.pods.get(pod).await.expect("the pod is there");
            let node = found.spec.and_then(|spec| spec.node_name);
            assert_eq!(node.as_deref(), Some(self.node.name.as_str()), "{bound:?}");
        }
    }

    /// The pod is bound, and its container runs.
    pub async fn starts(&self, pod: &str) {
        self.bind(pod).await;
        self.logs.begin(pod);
        let running = json!({ "running": { "startedAt": now() } });
        let status =
            json!({ "phase": "Running", "startTime": now(), "containerStatuses": [container(running)] });
        assert!(self.shows(pod, status).await, "the pod is there");
    }

    pub fn prints(&self, pod: &str, text: impl AsRef<[u8]>) {
        self.logs.append(pod, text.as_ref());
    }

    /// The container ends by itself; false where it was stopped before.
    pub async fn ends(&self, pod: &str, exit_code: i32, message: Option<&str>) -> bool {
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        let message = message.map_or_else(|| self.logs.last_words(pod, LAST_WORDS), str::to_owned);
        let message = (exit_code != 0 || message.starts_with("sha256:")).then_some(message);
        let end = terminated(exit_code, reason, message.as_deref());
        self.shows(
            pod,
            json!({ "phase": phase, "containerStatuses": [container(end)] }),
        )
        .await
    }

    /// The pod has this status from now on; false where it had ended before.
    pub async fn shows(&self, pod: &str, status: Value) -> bool {
        let _turn = self.hands.turn.lock().await;
        let Some(found) = self.hands.pods.get_opt(pod).await.expect("the cluster answers") else {
            return false;
        };
        if has_ended(&found) {
            return false;
        }
        let over = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
        let told = self.hands.tells(&found, status).await;
        if told && over {
            self.logs.end(pod);
        }
        told
    }

    /// Says something about a pod.
    pub async fn warns(&self, event: Value) {
        let made = self.events.create(&PostParams::default(), &object(event)).await;
        made.expect("the event is taken");
    }

    pub async fn remove(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.node.remove().await;
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Hands {
    async fn honour_deletions(self, node: String) {
        let ours = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let mut feed = std::pin::pin!(watcher(self.pods.clone(), ours));
        let mut taken = HashSet::new();
        while let Some(event) = feed.next().await {
            let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event else {
                continue;
            };
            if pod.metadata.deletion_timestamp.is_some() && taken.insert(pod.metadata.uid.clone()) {
                tokio::spawn(self.clone().stop(pod));
            }
        }
    }

    /// Ends the container of a pod that is being deleted, says so, and lets the pod go.
    async fn stop(mut self, pod: Pod) {
        let name = pod.metadata.name.clone().expect("a pod has a name");
        if self.frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        let _turn = self.turn.lock().await;
        let Ok(Some(pod)) = self.pods.get_opt(&name).await else {
            return;
        };
        if !has_ended(&pod) {
            let status =
                json!({ "phase": "Failed", "containerStatuses": [container(self.stopped(&pod, &name))] });
            self.tells(&pod, status).await;
        }
        self.logs.end(&name);
        let this_one = Preconditions {
            uid: pod.metadata.uid,
            resource_version: None,
        };
        let now = DeleteParams::default().grace_period(0).preconditions(this_one);
        let _ = self.pods.delete(&name, &now).await;
        self.logs.remove(&name);
    }

    /// kaniko does not listen to SIGTERM: Go's runtime ends it with 2.
    fn stopped(&self, pod: &Pod, name: &str) -> Value {
        let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        if running {
            terminated(2, "Error", Some(&self.logs.last_words(name, LAST_WORDS)))
        } else {
            let words = "The container could not be located when the pod was terminated";
            json!({ "terminated": { "exitCode": 137, "reason": "ContainerStatusUnknown", "message": words } })
        }
    }

    async fn tells(&self, pod: &Pod, status: Value) -> bool {
        let name = pod.metadata.name.as_deref().expect("a pod has a name");
        // As kubelets do, so that what others say in conditions stays.
        let patch = Patch::Strategic(json!({ "metadata": { "uid": pod.metadata.uid }, "status": status }));
        match self
            .pods
            .patch_status(name, &PatchParams::default(), &patch)
            .await
        {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => false,
            Err(error) => panic!("the status of {name} is not taken: {error}"),
        }
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The status of the one container that our pods have.
pub fn container(state: Value) -> Value {
    let began = state.get("waiting").is_none() && state["terminated"]["reason"] != "ContainerStatusUnknown";
    json!({
        "name": "kaniko", "image": "kaniko", "imageID": "", "restartCount": 0,
        "ready": state.get("running").is_some(), "started": state.get("running").is_some(),
        "containerID": began.then_some("puppet://1"), "state": state,
    })
}

pub fn terminated(exit_code: i32, reason: &str, message: Option<&str>) -> Value {
    json!({ "terminated": {
        "exitCode": exit_code, "reason": reason, "message": message, "startedAt": now(), "finishedAt": now(),
        "containerID": "puppet://1",
    } })
}
