//! Evictions and full disks: retried without being the build's failure, and never with two pods at
//! once, which the chronicle watches over in every story.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use serde_json::{Value, json};
use slipway::domain::{BuildId, Reason, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::chronicle::Seen,
    puppet::kubelet::{container, terminated},
    puppet::world::{World, end, story},
};

pub const SUCCEEDED: (State, Option<&str>, Option<i32>) = (State::Succeeded, None, None);

pub fn pod_is_deleted(seen: &Seen, id: BuildId) -> Option<()> {
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
pub async fn second_succeeds(world: &World, id: BuildId) -> (u32, Option<Reason>) {
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
