//! A replica that goes away, or does not hear, at each step of a launch.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::json;
use slipway::domain::State::{Cancelled, Launching, Queued, Running, Succeeded};

use crate::{
    faults::proxy::{Act, Calls},
    faults::world::{SOON, World},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn killed_after_the_claim_and_before_the_job_is_created() {
    let mut world = World::new(2).await;
    world.start(0).await;
    let mut held = world.proxy(0).hold(Calls::Create, false);
    let id = world.create(0, "quick").await;
    let call = held.recv().await.expect("the Job is about to be created");
    world.kill(0);
    assert!(world.ledger.jobs(id).is_empty());
    world.start(1).await;
    world.until_state(id, Running).await;
    // A network may still carry what the dead have sent.
    drop(call);
    let build = world.ended(1, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(world.history(id).await, [Queued, Launching, Running, Succeeded]);
    assert_eq!(world.ledger.jobs(id).len(), 1);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn killed_after_the_job_is_created_and_before_that_is_recorded() {
    let mut world = World::new(2).await;
    world.start(0).await;
    let mut held = world.proxy(0).hold(Calls::Create, true);
    let id = world.create(0, "quick").await;
    let call = held.recv().await.expect("the Job is created");
    world.kill(0);
    drop(call);
    assert_eq!(world.state(id).await, Some(Launching));
    world.start(1).await;
    let build = world.ended(1, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert!(
        world.service(1).log().contains("adopted"),
        "{}",
        world.account().await
    );
    assert_eq!(world.ledger.jobs(id).len(), 1);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_that_was_created_without_an_answer_is_adopted() {
    let mut world = World::new(1).await;
    world.proxy(0).set_times(Calls::Create, 1, Act::LoseAnswer);
    world.up().await;
    let id = world.create(0, "quick").await;
    let build = world.ended(0, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(world.ledger.jobs(id).len(), 1);
    assert_eq!(
        world.history(id).await[..4],
        [Queued, Launching, Queued, Launching]
    );
    assert!(
        world.service(0).log().contains("\"adopted\":true"),
        "{}",
        world.account().await
    );
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_strangers_job_of_the_builds_name_is_left_alone() {
    let mut world = World::new(1).await;
    world.start(0).await;
    let mut held = world.proxy(0).hold(Calls::Create, false);
    let id = world.create(0, "quick").await;
    let call = held.recv().await.expect("the Job is about to be created");
    let strangers: Job = world
        .place
        .create(json!({
            "metadata": { "name": id.job_name() },
            "spec": { "suspend": true, "template": { "spec": {
                "restartPolicy": "Never", "containers": [{ "name": "main", "image": "none.example/none" }],
            }}},
        }))
        .await;
    drop(call);
    let build = world.ended(0, id).await;
    assert_eq!(build["failure"]["reason"], "name_conflict", "{build:#}");
    let jobs = world.place.api::<Job>();
    let left = jobs.get(&id.job_name()).await.expect("it is still there");
    assert_eq!(left.uid(), strangers.uid());
    assert!(left.metadata.deletion_timestamp.is_none());
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn stopped_past_its_lease_and_continued_a_replica_changes_nothing() {
    let mut world = World::new(2).await;
    world.start(0).await;
    let mut held = world.proxy(0).hold(Calls::Create, false);
    let id = world.create(0, "slow").await;
    let call = held.recv().await.expect("the Job is about to be created");
    world.service(0).pause();
    world.start(1).await;
    world.until_state(id, Running).await;
    // What it asked for is done now, and refused: the Job is there. It hears of it when it wakes up.
    drop(call);
    let replica = &world.replicas[1].service;
    // It held the observer's role, too: the database takes that away from it.
    world
        .until("the other to observe", SOON, async || {
            replica.log().contains("observing").then_some(())
        })
        .await;
    world.service(0).resume();
    let build = world.ended(1, id).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    assert_eq!(world.history(id).await, [Queued, Launching, Running, Succeeded]);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn stopped_while_another_made_the_job_anew_an_observer_ends_nothing() {
    let mut world = World::new(2).await;
    world.start(0).await;
    let id = world.at_work(0, "long").await;
    world.service(0).pause();
    world.start(1).await;
    let replica = &world.replicas[1].service;
    world
        .until("the other to observe", SOON, async || {
            replica.log().contains("observing").then_some(())
        })
        .await;
    world.delete_job(id).await;
    world
        .until("a second Job", SOON, async || {
            (world.ledger.jobs(id).len() == 2).then_some(())
        })
        .await;
    world.until_building(id).await;
    world.service(0).resume();
    let replica = &world.replicas[0].service;
    world
        .until("it to know", SOON, async || {
            replica.log().contains("role was lost").then_some(())
        })
        .await;
    assert_eq!(world.state(id).await, Some(Running), "{}", world.account().await);
    assert_eq!(world.cancel(0, id).await.expect("it answers"), 202);
    world.until_state(id, Cancelled).await;
    world.hold().await;
    world.close().await;
}
