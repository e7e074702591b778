//! What was seen is not how it is any more, or not how it is yet.

use slipway::{
    domain::{Reason, State},
    launcher::Launcher,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::dispatcher::world::{World, options};

#[sqlx::test(migrations = false)]
async fn a_build_that_has_started_unseen_is_not_given_up(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world.cluster.falls_behind(id);
    world.cluster.starts(id);
    world.has_waited(id, 601.0).await;
    world.look(id).await;
    world.is(id, State::Running).await;
    assert!(world.cluster.has(id));
}

#[sqlx::test(migrations = false)]
async fn an_outage_is_not_held_against_builds_that_waited(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world.cluster.set(|faults| faults.down = true);
    world.look(id).await;
    world.has_waited(id, 601.0).await;
    world.cluster.set(|faults| faults.down = false);
    world
        .cluster
        .waits(id, Reason::Unschedulable, "the node is not back yet");
    world.look(id).await;
    world.is(id, State::Running).await;

    let mut patient = options();
    patient.pending_deadline = std::time::Duration::ZERO;
    let again = world.replica(patient);
    again.observe_once(id).await.expect("the database answers");
    world.is(id, State::Failed).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_was_replaced_by_its_like_is_adopted(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.is_replaced(id);
    let job = world
        .cluster
        .look(id)
        .await
        .expect("it answers")
        .expect("it is there");
    world.look(id).await;
    world.is(id, State::Running).await;
    world.reconcile().await;
    let live = world.store.live(None, 1).await.expect("it answers").remove(0);
    assert_eq!(
        (live.state, live.external_id),
        (State::Running, Some(job.external_id))
    );
    assert_eq!(world.cluster.created(id), 1);
    world.cluster.starts(id);
    world.cluster.succeeds(id);
    world.look(id).await;
    world.is(id, State::Succeeded).await;
}

#[sqlx::test(migrations = false)]
async fn an_observer_that_was_overtaken_ends_nothing(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    // One replica sees the Job fail, as it is deleted, and stands still; another one makes it again.
    world.cluster.fails(
        id,
        Reason::BuildStepFailed,
        false,
        slipway::domain::outcome::Advice::None,
    );
    world.cluster.falls_behind(id);
    let behind = world.cluster.hold_looks().await;
    let late = tokio::spawn({
        let dispatcher = world.replica(options());
        async move { dispatcher.observe_once(id).await }
    });
    while world.cluster.looks(id) < 2 {
        tokio::task::yield_now().await;
    }
    world.cluster.vanishes(id);
    let claim = world
        .store
        .relaunch(id, options().lease)
        .await
        .expect("it answers");
    world.time_passes().await;
    assert!(claim.is_some());
    world.claim().await;
    world.is(id, State::Running).await;
    drop(behind);
    late.await.expect("it ends").expect("the database answers");
    world.is(id, State::Running).await;
    assert_eq!(world.ends(id).await, 0);
}

#[sqlx::test(migrations = false)]
async fn a_launch_that_ends_while_it_is_looked_leaves_the_build_cancelling(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.pods_linger = true);
    let id = world.submit().await;
    let launch = world.cluster.gate.write().await;
    let launching = tokio::spawn({
        let dispatcher = world.dispatcher.clone();
        async move { dispatcher.claim_once().await }
    });
    while world.state(id).await != State::Launching {
        tokio::task::yield_now().await;
    }
    world.cancel(id).await;
    let look = world.cluster.hold_looks().await;
    let cancel = tokio::spawn({
        let dispatcher = world.replica(options());
        async move { dispatcher.cancel_once().await }
    });
    while world.cluster.looks(id) == 0 {
        tokio::task::yield_now().await;
    }
    // Nothing was there when it looked. Now the Job comes about, and its launch is over.
    drop(launch);
    launching.await.expect("it ends").expect("the database answers");
    assert!(world.cluster.has(id));
    drop(look);
    assert_eq!(cancel.await.expect("it ends").expect("the database answers"), 0);
    world.is(id, State::Cancelling).await;
    world.cluster.vanishes(id);
    world.see_cancels_through().await;
    world.is(id, State::Cancelled).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_is_made_after_its_build_has_ended_is_removed(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.submit().await;
    let held = world.cluster.gate.write().await;
    let late = tokio::spawn({
        let dispatcher = world.replica(options());
        async move { dispatcher.claim_once().await }
    });
    while world.state(id).await != State::Launching {
        tokio::task::yield_now().await;
    }
    // It stands still past its lease. Another one launches the build, which succeeds, and its Job goes in time.
    world.time_passes().await;
    let claims = world.store.claim(options().slots, options().lease, 1).await;
    let claim = claims.expect("it answers").remove(0);
    world
        .store
        .launched(id, claim.token, "another")
        .await
        .expect("it answers");
    let succeeded = slipway::domain::Outcome::Succeeded { digest: None };
    assert!(
        world
            .store
            .finish(id, &succeeded, &[], 0)
            .await
            .expect("it answers")
    );
    drop(held);
    late.await.expect("it ends").expect("the database answers");
    assert_eq!(world.cluster.created(id), 1);
    assert!(!world.cluster.has(id), "nobody waits for it");
    world.is(id, State::Succeeded).await;
}
