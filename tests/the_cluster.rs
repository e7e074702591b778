//! Stories in which the cluster itself is drained, stopped or paused, while no other test uses it ([`Place::alone`]).
//!
//! The last module by its name: tests begin in the order of their names, and one that waits for the cluster keeps all
//! that begin after it waiting.
//!
//! [`Place::alone`]: crate::support::cluster::Place::alone

use std::process::Command;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt, api::EvictParams};
use slipway::domain::State::{self, Launching, Queued, Running};

use crate::faults::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_drained_node_costs_no_retry() {
    if !World::owns_the_cluster() {
        return;
    }
    let mut world = World::alone(2, &[]).await;
    world.up().await;
    let id = world.at_work(0, "slow").await;
    let nodes: Api<Node> = Api::all(world.place.client.clone());
    let pods = world.place.api::<Pod>();
    let first = world.ledger.pods(id)[0].last.clone();
    let node = first.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let node = node.expect("a pod at work is on a node");
    nodes.cordon(&node).await.expect("it is cordoned");
    let evicted = pods.evict(&first.name_any(), &EvictParams::default()).await;
    let waits = async || {
        let waiting = world.service(0).build(&id.to_string()).await["waiting"].clone();
        (waiting["reason"] == "unschedulable").then_some(())
    };
    // The node is let go in any case: others need it.
    let waited = tokio::time::timeout(SOON, world.until("no node to be left", SOON, waits)).await;
    nodes.uncordon(&node).await.expect("it is uncordoned");
    evicted.expect("the pod is evicted");
    waited.expect("it waits");
    let build = world.ended(0, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(build["retries"], 0, "{build:#}");
    assert_eq!(build["attempts"][0]["failure"]["reason"], "evicted", "{build:#}");
    assert_eq!(world.ledger.jobs(id).len(), 1);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_api_server_that_is_stopped_and_started_and_paused_fails_nothing() {
    if !World::owns_the_cluster() {
        return;
    }
    let mut world = World::alone(2, &[]).await;
    world.up().await;
    for (away, back) in [("stop", "start"), ("pause", "continue")] {
        let running = world.at_work(0, "slow").await;
        component(away).await;
        let waiting = world.create(1, "quick").await;
        let degraded = async || {
            let (status, body) = world.service(0).try_get("readyz").await.ok()?;
            (status == 200 && body["status"] == "degraded").then_some(())
        };
        world.until("/readyz to say so", SOON, degraded).await;
        let states: [Option<State>; 2] = [world.state(running).await, world.state(waiting).await];
        component(back).await;
        assert!(
            matches!(states, [Some(Running), Some(Queued | Launching)]),
            "{states:?}"
        );
        for id in [running, waiting] {
            let build = world.ended(0, id).await;
            assert_eq!(build["state"], "succeeded", "{build:#}");
        }
    }
    world.hold().await;
    world.close().await;
}

async fn component(what: &'static str) {
    let done = tokio::task::spawn_blocking(move || {
        Command::new("bash")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/deploy/cluster/component.sh"
            ))
            .args([what, "kube-apiserver"])
            .env(
                "SLIPWAY_CLUSTER_HOME",
                std::env::var_os("SLIPWAY_TEST_CLUSTER_HOME").unwrap_or_default(),
            )
            .status()
    });
    let status = done.await.expect("it is waited for").expect("bash runs");
    assert!(status.success(), "{what} kube-apiserver");
}
