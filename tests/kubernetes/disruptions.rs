//! What is done to a build's Job and pods behind our back.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::{DeleteParams, EvictParams};
use serde_json::json;
use slipway::{
    domain::{Outcome, Sighting},
    launcher::{Launcher, Order},
};

use crate::kubernetes::harness::World;

/// A build that goes on until it is stopped.
async fn sleeping(world: &mut World) -> Order {
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sleep\", \"600\"]\n";
    world.volume_order(dockerfile, json!({ "max_retries": 0 })).await
}

fn running(seen: Option<&Sighting>) -> bool {
    seen.is_some_and(|seen| matches!(seen.outcome, Outcome::Running { .. }))
}

fn failed(seen: Option<&Sighting>) -> bool {
    seen.is_some_and(|seen| matches!(seen.outcome, Outcome::Failed(_)))
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_evicted_pod_is_replaced_and_not_counted() {
    let mut world = World::new().await;
    let order = sleeping(&mut world).await;
    world.launcher.launch(&order).await.unwrap();
    let first = world.watch(order.id, running).await.unwrap().attempts[0]
        .name
        .clone();
    world
        .place
        .api::<Pod>()
        .evict(&first, &EvictParams::default())
        .await
        .unwrap();

    let replaced = |seen: Option<&Sighting>| {
        assert!(!failed(seen), "{seen:?}");
        running(seen)
            && seen.is_some_and(|seen| seen.attempts.iter().any(|one| one.running && one.name != first))
    };
    let seen = world.watch(order.id, replaced).await.unwrap();
    assert_eq!(seen.failed_attempts, 0);
    let live = seen.attempts.iter().filter(|attempt| attempt.running).count();
    assert_eq!(live, 1, "two kanikos never push at once");
    world.launcher.remove(order.id).await.unwrap();
    world.watch(order.id, |seen| seen.is_none()).await;
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_deleted_by_hand_is_no_failure_of_the_build() {
    let mut world = World::new().await;
    let order = sleeping(&mut world).await;
    let first = world.launcher.launch(&order).await.unwrap();
    world.watch(order.id, running).await;
    world
        .place
        .api::<Job>()
        .delete(&order.id.job_name(), &DeleteParams::background())
        .await
        .unwrap();

    let gone = |seen: Option<&Sighting>| {
        assert!(!failed(seen), "{seen:?}");
        seen.is_none()
    };
    world.watch(order.id, gone).await;
    assert!(world.place.pods(order.id).await.is_empty());
    let second = world.launcher.launch(&order).await.unwrap();
    assert!(!second.adopted && second.external_id != first.external_id);
    world.launcher.remove(order.id).await.unwrap();
    world.place.close().await;
}
