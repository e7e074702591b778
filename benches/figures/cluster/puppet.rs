//! A node that is none, and its kubelet: each pod of the namespace is bound to it and runs, until it is told to end.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, Pod},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::Status,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use slipway::{
    domain::{BuildId, Clock, SystemClock},
    launcher::manifest::selector,
};
use tokio::task::JoinHandle;

use super::{build_of, container_logs, place::Place};

/// The label and the taint of such nodes; the value is the node's name.
pub const PUPPET: &str = "slipway.dev/puppet";
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Pods that are brought to run at once.
const AT_ONCE: usize = 16;

/// The kubelet; it stops when this is dropped.
pub struct Kubelet {
    hands: Arc<Hands>,
    tasks: [JoinHandle<()>; 3],
}

struct Hands {
    pods: Api<Pod>,
    node: String,
    /// The pods that run.
    running: Mutex<HashMap<BuildId, String>>,
    logs: container_logs::Running,
}

impl Kubelet {
    /// Registers the node and looks after the pods that there are and will be.
    pub async fn start(place: &Place) -> Result<Self> {
        let logs = container_logs::Running::default();
        let (port, serving) = container_logs::serve(logs.clone()).await?;
        let leases = register(&place.client, &place.name, port).await?;
        let hands = Arc::new(Hands {
            pods: place.api(),
            node: place.name.clone(),
            running: Mutex::default(),
            logs,
        });
        let heartbeat = tokio::spawn(beat(leases, place.name.clone()));
        let starting = tokio::spawn(hands.clone().start_all());
        Ok(Self {
            hands,
            tasks: [serving, heartbeat, starting],
        })
    }

    /// Waits until so many pods run.
    pub async fn until(&self, count: usize) {
        while self.hands.running().len() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The build's container ends, and its image was pushed.
    pub async fn end(&self, id: BuildId) -> Result<()> {
        let pod = self.hands.running().remove(&id).context("its pod runs")?;
        self.hands.logs.end(&pod);
        let digest = format!("sha256:{:0>64}", id.to_string().replace('-', ""));
        let now = SystemClock.now();
        let state = json!({ "terminated": {
            "exitCode": 0, "reason": "Completed", "message": digest, "startedAt": now, "finishedAt": now,
            "containerID": "puppet://1",
        } });
        self.hands.shows(&pod, "Succeeded", state).await
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Hands {
    fn running(&self) -> MutexGuard<'_, HashMap<BuildId, String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start_all(self: Arc<Self>) {
        let ours = watcher::Config::default().labels(&selector());
        let pods = watcher(self.pods.clone(), ours)
            .default_backoff()
            .applied_objects();
        let mut taken = HashSet::new();
        let fresh = pods.try_filter_map(|pod| {
            std::future::ready(Ok(waits(&pod).filter(|(_, name)| taken.insert(name.clone()))))
        });
        let started = fresh.map(async |pod| {
            let started = match pod {
                Ok((id, name)) => self.start(id, &name).await.with_context(|| name),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = started {
                eprintln!("the puppet could not start a pod: {error:#}");
            }
        });
        started.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn start(&self, id: BuildId, pod: &str) -> Result<()> {
        let target = json!({ "apiVersion": "v1", "kind": "Node", "name": self.node });
        let binding = json!({ "metadata": { "name": pod }, "target": target });
        let binding = described("v1", "Binding", binding);
        let bound: kube::Result<Status> = self
            .pods
            .create_subresource("binding", pod, &PostParams::default(), &binding)
            .await;
        match bound {
            Ok(_) => {}
            // A scheduler was quicker, and has no other choice.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        self.logs.begin(pod);
        self.shows(
            pod,
            "Running",
            json!({ "running": { "startedAt": SystemClock.now() } }),
        )
        .await?;
        self.running().insert(id, pod.to_owned());
        Ok(())
    }

    /// The pod's one container is in this state from now on.
    async fn shows(&self, pod: &str, phase: &str, state: Value) -> Result<()> {
        let runs = state.get("running").is_some();
        let container = json!({
            "name": "kaniko", "image": "kaniko", "imageID": "", "restartCount": 0, "ready": runs, "started": runs,
            "containerID": "puppet://1", "state": state,
        });
        let status =
            json!({ "phase": phase, "startTime": SystemClock.now(), "containerStatuses": [container] });
        // As kubelets do, so that what others say in conditions stays.
        let patch = Patch::Strategic(json!({ "status": status }));
        self.pods
            .patch_status(pod, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

/// The build and the name of a pod that waits for a node.
fn waits(pod: &Pod) -> Option<(BuildId, String)> {
    let bound = pod.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Pending");
    if bound || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some((
        build_of(pod.metadata.labels.as_ref())?,
        pod.metadata.name.clone()?,
    ))
}

async fn register(client: &Client, name: &str, port: u16) -> Result<Api<Lease>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let labels = json!({ PUPPET: name, "kubernetes.io/hostname": name });
    let taint = json!({ "key": PUPPET, "value": name, "effect": "NoSchedule" });
    let node = json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": [taint] } });
    let force = PatchParams::apply("slipway-bench").force();
    nodes
        .patch(name, &force, &Patch::Apply(described("v1", "Node", node)))
        .await?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let lease = json!({ "metadata": { "name": name }, "spec": renewed(name) });
    let lease = described("coordination.k8s.io/v1", "Lease", lease);
    leases.patch(name, &force, &Patch::Apply(lease)).await?;
    let room = json!({ "cpu": "10000", "memory": "100Ti", "ephemeral-storage": "1000Ti", "pods": "100000" });
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Puppet", "message": "as told",
        "lastHeartbeatTime": SystemClock.now(), "lastTransitionTime": SystemClock.now(),
    });
    let host = "127.0.0.1";
    let status = json!({
        // Which of them the API server takes is a setting of its own.
        "addresses": [{ "type": "Hostname", "address": host }, { "type": "InternalIP", "address": host }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        "capacity": room, "allocatable": room, "conditions": [ready],
    });
    let patch = Patch::Strategic(json!({ "status": status }));
    nodes.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(leases)
}

fn described(version: &str, kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    object
}

fn renewed(name: &str) -> Value {
    let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(SystemClock.now());
    json!({ "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": at })
}

async fn beat(leases: Api<Lease>, name: String) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let patch = Patch::Merge(json!({ "spec": renewed(&name) }));
        // The next one makes up for one that failed.
        let _ = leases.patch(&name, &PatchParams::default(), &patch).await;
    }
}
