//! A node that is none: registered, labelled, tainted and kept alive as a kubelet does it, so that the cluster's own
//! scheduler gives it this test's pods and no others.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node as Object};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use slipway::domain::{Clock, SystemClock};
use tokio::task::JoinHandle;

use crate::support::cluster::object;

/// The label and the taint of such nodes; the value is the node's name.
pub const PUPPET: &str = "slipway.dev/puppet";

const HEARTBEAT: Duration = Duration::from_secs(10);

pub struct Node {
    pub name: String,
    nodes: Api<Object>,
    leases: Api<Lease>,
    heartbeat: JoinHandle<()>,
}

impl Node {
    /// A node whose kubelet answers there.
    pub async fn register(client: &Client, name: &str, host: &str, port: u16) -> Self {
        let nodes = Api::<Object>::all(client.clone());
        let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
        let made = nodes
            .create(&PostParams::default(), &object(manifest(name)))
            .await;
        let uid = made.expect("the node is registered").metadata.uid;
        let reference = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }]);
        let lease =
            json!({ "metadata": { "name": name, "ownerReferences": reference }, "spec": renewed(name) });
        let made = leases.create(&PostParams::default(), &object(lease)).await;
        made.expect("the lease is made");
        let node = Self {
            name: name.to_owned(),
            heartbeat: tokio::spawn(beat(leases.clone(), name.to_owned())),
            nodes,
            leases,
        };
        node.reports(status(host, port)).await;
        node.is_ready(true).await;
        node
    }

    /// The kubelet says how it is.
    pub async fn is_ready(&self, ready: bool) {
        let condition = json!({
            "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "Puppet", "message": "as told",
            "lastHeartbeatTime": now(), "lastTransitionTime": now(),
        });
        self.reports(json!({ "conditions": [condition] })).await;
    }

    async fn reports(&self, status: Value) {
        let patch = Patch::Strategic(json!({ "status": status }));
        let told = self
            .nodes
            .patch_status(&self.name, &PatchParams::default(), &patch)
            .await;
        told.expect("the node's status is taken");
    }

    /// An operator says that the machine is down for good: what was on it may be replaced.
    pub async fn is_out_of_service(&self) {
        let mut node = self.nodes.get(&self.name).await.expect("the node is there");
        let taint = json!({ "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" });
        let spec = node.spec.get_or_insert_default();
        spec.taints.get_or_insert_default().push(object(taint));
        let patch = Patch::Merge(json!({ "spec": { "taints": spec.taints } }));
        let told = self
            .nodes
            .patch(&self.name, &PatchParams::default(), &patch)
            .await;
        told.expect("the taint is taken");
    }

    pub async fn remove(&self) {
        self.heartbeat.abort();
        let _ = self.nodes.delete(&self.name, &DeleteParams::default()).await;
        let _ = self.leases.delete(&self.name, &DeleteParams::default()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

fn manifest(name: &str) -> Value {
    let labels = json!({
        PUPPET: name, "kubernetes.io/hostname": name,
        // One node that is down must not look like a whole zone with all its nodes down.
        "topology.kubernetes.io/zone": name,
    });
    let taint = json!({ "key": PUPPET, "value": name, "effect": "NoSchedule" });
    json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": [taint] } })
}

fn status(host: &str, port: u16) -> Value {
    let room = json!({ "cpu": "1000", "memory": "10Ti", "ephemeral-storage": "100Ti", "pods": "10000" });
    json!({
        // Which of them the API server takes is a setting of its own.
        "addresses": [{ "type": "Hostname", "address": host }, { "type": "InternalIP", "address": host }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        "capacity": room, "allocatable": room,
    })
}

pub fn now() -> Timestamp {
    SystemClock.now()
}

fn renewed(name: &str) -> Value {
    let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(now());
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
