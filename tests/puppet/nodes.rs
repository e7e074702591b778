//! Nodes that lose their runtime, forget a container, or go away with all that they have.

use std::time::Duration;

use serde_json::json;
use slipway::domain::{Attempt, BuildId, Reason, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::disruptions::{SUCCEEDED, pod_is_deleted, second_succeeds},
    puppet::kubelet::container,
    puppet::node::Node,
    puppet::recorded::Recorded,
    puppet::setup::Setup,
    puppet::world::{end, story},
};

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_runtime_that_dies_under_its_containers_changes_nothing(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let recorded = Recorded::load("containerd-killed");
            let (id, pod) = world.running_build(json!({})).await;
            world.kubelet.prints(&pod, recorded.log());
            assert!(world.kubelet.shows(&pod, recorded.status()).await);
            world
                .stays(id, Duration::from_secs(3), |build| build.state == State::Running)
                .await;
            assert!(world.kubelet.ends(&pod, 0, None).await);
            assert_eq!(end(&world.until_ended(id).await), SUCCEEDED);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_container_that_its_node_forgot_is_tried_again(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
            let forgotten = json!({ "terminated": {
            "exitCode": 137, "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
        } });
            let status = json!({ "phase": "Failed", "containerStatuses": [container(forgotten)] });
            assert!(world.kubelet.shows(&pod, status).await);
            assert_eq!(second_succeeds(world, id).await, (1, Some(Reason::NodeLost)));
        },
    )
    .await;
}

/// Taints of nodes that are down are tolerated for five minutes, unless somebody says otherwise.
fn impatient(setup: &mut Setup) {
    for taint in ["not-ready", "unreachable"] {
        setup
            .kubernetes
            .tolerations
            .push(crate::support::cluster::object(json!({
                "key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 0,
            })));
    }
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_node_that_is_lost_keeps_its_build_until_it_is_known_to_be_down(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(database, impatient, async |world| {
        // Where no node at all is ready, Kubernetes suspects itself.
        let other = Node::register(
            &world.place.client,
            &format!("puppet-{}", BuildId::generate()),
            "127.0.0.1",
            1,
        )
        .await;
        let (id, pod) = world.running_build(json!({ "max_retries": 0 })).await;
        world.kubelet.logs.fault(&pod, crate::puppet::logs::Fault::Silent);
        world.kubelet.freeze(true);
        world.kubelet.node.is_ready(false).await;
        world
            .chronicle
            .until("the pod is to be stopped", |seen| pod_is_deleted(seen, id))
            .await;
        // As recorded: Running, whatever has become of it.
        assert!(
            world
                .kubelet
                .shows(&pod, Recorded::load("kubelet-stopped").status())
                .await
        );
        world
            .stays(id, Duration::from_secs(4), |build| build.state == State::Running)
            .await;
        assert_eq!(world.chronicle.seen().pods_of(id).count(), 1, "it may still push");
        world.kubelet.node.is_out_of_service().await;
        let second = world.chronicle.pod(id, 2).await;
        let lost = |attempt: &Attempt| {
            attempt
                .failure
                .as_ref()
                .is_some_and(|why| why.reason == Reason::NodeLost)
        };
        world.until_attempt(id, "its node was lost", lost).await;
        world.cancel(id).await;
        let ended = world.until_ended(id).await;
        assert_eq!(
            (ended.state, ended.retries),
            (State::Cancelled, 0),
            "{second}: {ended:?}"
        );
        other.remove().await;
    })
    .await;
}
