//! Evictions, full disks and nodes that go away: retried without being the build's failure, and never with two pods at
//! once, which the chronicle watches over in every story.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use serde_json::{Value, json};
use slipway::domain::{Attempt, BuildId, Reason, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    chronicle::Seen,
    kubelet::{container, terminated},
    node::Node,
    recorded::Recorded,
    world::{Setup, World, end, story},
};

const SUCCEEDED: (State, Option<&str>, Option<i32>) = (State::Succeeded, None, None);

fn pod_is_deleted(seen: &Seen, id: BuildId) -> Option<()> {
    let deleted = seen
        .pods_of(id)
        .any(|entry| entry.object.metadata.deletion_timestamp.is_some());
    deleted.then_some(())
}

async fn evict(world: &World, pod: &str) {
    world
        .api::<Pod>()
        .evict(pod, &EvictParams::default())
        .await
        .expect("the pod is evicted");
}

/// The second pod succeeds: the build's retries, and why its first attempt failed.
async fn second_succeeds(world: &World, id: BuildId) -> (u32, Option<Reason>) {
    let second = world.chronicle.pod(id, 2).await;
    world.kubelet.starts(&second).await;
    assert!(world.kubelet.ends(&second, 0, None).await);
    let ended = world.until_ended(id).await;
    assert_eq!(end(&ended), SUCCEEDED, "{ended:?}");
    let attempts = world.attempts(id).await;
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    (
        ended.retries,
        attempts[0].failure.as_ref().map(|failure| failure.reason),
    )
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_evicted_pod_is_replaced_for_free_and_only_when_it_is_gone(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 0 })).await;
            // Its node takes its time to stop it.
            world.kubelet.freeze(true);
            evict(world, &pod).await;
            world
                .chronicle
                .until("the pod is told to stop", |seen| pod_is_deleted(seen, id))
                .await;
            world
                .stays(id, Duration::from_secs(4), |build| build.state == State::Running)
                .await;
            assert_eq!(
                world.chronicle.seen().pods_of(id).count(),
                1,
                "no second pod while the first may push"
            );
            world.kubelet.freeze(false);
            assert_eq!(second_succeeds(world, id).await, (0, Some(Reason::Evicted)));
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_evicted_pod_that_still_pushes_has_succeeded(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({})).await;
            world.kubelet.freeze(true);
            evict(world, &pod).await;
            world
                .chronicle
                .until("the pod is told to stop", |seen| pod_is_deleted(seen, id))
                .await;
            assert!(world.kubelet.ends(&pod, 0, None).await);
            world.kubelet.freeze(false);
            assert_eq!(end(&world.until_ended(id).await), SUCCEEDED);
            assert_eq!(world.chronicle.seen().pods_of(id).count(), 1);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_is_evicted_twice_without_using_up_its_only_try(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let id = world.submit(json!({ "max_retries": 0 })).await;
            for number in 1..=2 {
                let pod = world.chronicle.pod(id, number).await;
                world.kubelet.starts(&pod).await;
                world
                    .until_attempt(id, "it runs", |attempt| attempt.name == pod)
                    .await;
                evict(world, &pod).await;
            }
            let last = world.chronicle.pod(id, 3).await;
            world.kubelet.starts(&last).await;
            assert!(world.kubelet.ends(&last, 0, None).await);
            let ended = world.until_ended(id).await;
            assert_eq!((end(&ended), ended.retries), (SUCCEEDED, 0), "{ended:?}");
            assert_eq!(world.attempts(id).await.len(), 3);
        },
    )
    .await;
}

/// What a kubelet says when it stops a pod whose disk is full. Kubernetes counts it, for it is the pod's own limit.
fn disk_full() -> Value {
    json!({
        "phase": "Failed", "reason": "Evicted",
        "message": "Pod ephemeral local storage usage exceeds the total limit of containers 20Gi. ",
        "containerStatuses": [container(terminated(137, "Error", None))],
    })
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_full_disk_is_tried_again_and_counted_as_kubernetes_counts_it(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let once_more = async {
                let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
                assert!(world.kubelet.shows(&pod, disk_full()).await);
                assert_eq!(second_succeeds(world, id).await, (1, Some(Reason::DiskFull)));
            };
            let never = async {
                let (id, pod) = world.running_build(json!({ "max_retries": 0 })).await;
                assert!(world.kubelet.shows(&pod, disk_full()).await);
                let ended = world.until_ended(id).await;
                assert_eq!(
                    end(&ended),
                    (State::Failed, Some("disk_full"), Some(137)),
                    "{ended:?}"
                );
                assert_eq!(ended.retries, 1);
            };
            tokio::join!(once_more, never);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_past_its_deadline_is_not_tried_again(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 2 })).await;
            world.kubelet.prints(&pod, "INFO[0000] RUN sleep 600\n");
            let late = json!({
                "phase": "Failed", "reason": "DeadlineExceeded",
                "message": "Pod was active on the node longer than the specified deadline",
                "containerStatuses": [container(terminated(2, "Error", None))],
            });
            assert!(world.kubelet.shows(&pod, late).await);
            let ended = world.until_ended(id).await;
            assert_eq!(
                end(&ended),
                (State::Failed, Some("timed_out"), Some(2)),
                "{ended:?}"
            );
            assert_eq!(
                (ended.retries, world.chronicle.seen().pods_of(id).count()),
                (1, 1)
            );
            assert!(
                world
                    .until_log(id, 1, |_, whole| whole)
                    .await
                    .contains("RUN sleep 600")
            );
        },
    )
    .await;
}

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
        setup.kubernetes.tolerations.push(crate::cluster::object(json!({
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
        world.kubelet.logs.fault(&pod, crate::logs::Fault::Silent);
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
