//! An API server that is away, slow, or sends watchers the wrong way: nothing fails for it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use slipway::domain::State::{Launching, Queued, Running, Succeeded};

use crate::{
    faults::proxy::{Act, Calls},
    faults::world::{SOON, World},
};

/// Longer than the pending deadline and the lease together.
const OUTAGE: Duration = Duration::from_secs(28);
/// Time enough for a pod to start while other stories keep the node busy: four seconds were seen with a load of eight.
const PENDING_DEADLINE: &str = "20s";
/// The age at which a watch ends, in place of a minute.
const WATCH_SECONDS: &str = "4";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn nothing_fails_while_it_answers_too_many_requests() {
    an_outage(Act::Answer(429)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn nothing_fails_while_it_answers_that_it_cannot() {
    an_outage(Act::Answer(503)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn nothing_fails_while_it_answers_nothing() {
    an_outage(Act::Hang).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn nothing_fails_while_connections_to_it_break() {
    an_outage(Act::Drop).await;
}

async fn an_outage(act: Act) {
    let mut world = World::with(2, &[("SLIPWAY_PENDING_DEADLINE", PENDING_DEADLINE)]).await;
    world.up().await;
    // Outlasts the outage, however long it takes until that begins.
    let running = world.at_work(0, "patient").await;
    // The last that is seen of this one is that it has no container yet.
    let mut held: Vec<_> = (0..2)
        .map(|replica| world.proxy(replica).hold(Calls::Create, true))
        .collect();
    let pending = world.create(0, "slow").await;
    let (first, second) = held.split_at_mut(1);
    let call = tokio::select! {
        call = first[0].recv() => call,
        call = second[0].recv() => call,
    };
    for replica in &world.replicas {
        replica.proxy.freeze_watches();
        replica.proxy.set(Calls::All, act.clone());
    }
    drop(call);
    let began = tokio::time::Instant::now();
    let waiting = world.create(1, "quick").await;
    for replica in 0..2 {
        let degraded = async || {
            let (status, body) = world.service(replica).try_get("readyz").await.ok()?;
            (status == 200 && body["status"] == "degraded").then_some(())
        };
        world.until("/readyz to say so", SOON, degraded).await;
    }
    tokio::time::sleep_until(began + OUTAGE).await;
    assert!(matches!(world.state(waiting).await, Some(Queued | Launching)));
    assert_eq!(
        world.state(running).await,
        Some(Running),
        "{}",
        world.account().await
    );
    world.replicas.iter().for_each(|replica| replica.proxy.clear());
    for id in [running, pending, waiting] {
        let build = world.ended(0, id).await;
        assert_eq!(
            build["state"],
            "succeeded",
            "{build:#}\n{}",
            world.account().await
        );
        assert_eq!(world.ledger.jobs(id).len(), 1);
    }
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_slow_one_only_takes_longer() {
    let mut world = World::new(2).await;
    for replica in &world.replicas {
        replica
            .proxy
            .set(Calls::All, Act::Delay(Duration::from_millis(700)));
    }
    world.up().await;
    let (good, bad) = (world.create(0, "quick").await, world.create(1, "fails").await);
    assert_eq!(world.ended(0, good).await["state"], "succeeded");
    assert_eq!(
        world.ended(1, bad).await["failure"]["reason"],
        "build_step_failed"
    );
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn watches_that_expired_are_begun_anew() {
    watches_break(Act::Expired).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn watches_that_are_answered_gone_are_begun_anew() {
    watches_break(Act::Answer(410)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn watches_that_are_cut_are_taken_up_again() {
    watches_break(Act::Delay(Duration::from_millis(100))).await;
}

/// The watches end, and are not had again as they were; meanwhile one Job is deleted and another one ends.
async fn watches_break(act: Act) {
    let mut world = World::new(1).await;
    world.up().await;
    let lost = world.at_work(0, "long").await;
    let ends = world.at_work(0, "patient").await;
    world.shorten("long");
    world.delete_job(lost).await;
    let jobs = world.place.api::<Job>();
    let now = jobs
        .list_metadata(&ListParams::default())
        .await
        .expect("it answers");
    let now = now
        .metadata
        .resource_version
        .and_then(|version| version.parse().ok());
    world
        .proxy(0)
        .set(Calls::OldWatch(now.expect("a list has a version")), act);
    world.proxy(0).cut_streams();
    for id in [lost, ends] {
        let build = world.ended(0, id).await;
        assert_eq!(build["state"], "succeeded", "{build:#}");
    }
    assert_eq!(
        (world.ledger.jobs(lost).len(), world.ledger.jobs(ends).len()),
        (2, 1)
    );
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn watches_on_which_nothing_comes_any_more_are_given_up() {
    let mut world = World::with(1, &[("SLIPWAY_WATCH_SECONDS", WATCH_SECONDS)]).await;
    world.up().await;
    let lost = world.at_work(0, "long").await;
    let ends = world.at_work(0, "patient").await;
    world.shorten("long");
    // And so is the first try to begin them anew.
    world.proxy(0).set_times(Calls::Watch, 3, Act::Hang);
    world.proxy(0).freeze_watches();
    world.delete_job(lost).await;
    for id in [ends, lost] {
        let ended = async || (world.state(id).await == Some(Succeeded)).then_some(());
        world.until(&format!("the end of {id}"), SOON, ended).await;
    }
    world.hold().await;
    world.close().await;
}
