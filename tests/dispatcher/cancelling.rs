//! A cancelled build is `cancelled` once, and only when nothing of it can push any more.

use slipway::domain::{Reason, State, outcome::Advice};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{dispatcher::cluster::Call, dispatcher::world::World};

#[sqlx::test(migrations = false)]
async fn a_queued_build_is_cancelled_at_once(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.submit().await;
    world.cancel(id).await;
    world.is(id, State::Cancelled).await;
    assert_eq!(world.claim().await, 0);
    assert_eq!(world.cluster.created(id), 0);
}

#[sqlx::test(migrations = false)]
async fn a_running_build_is_cancelled_when_its_pod_is_gone(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.pods_linger = true);
    let id = world.running().await;
    world.cancel(id).await;
    for _ in 0..3 {
        assert_eq!(world.see_cancels_through().await, 0);
        world.is(id, State::Cancelling).await;
    }
    let removals = world
        .cluster
        .calls()
        .iter()
        .filter(|call| **call == Call::Removed(id))
        .count();
    assert_eq!(removals, 1, "what is being removed is not removed again");
    world.cluster.vanishes(id);
    assert_eq!(world.see_cancels_through().await, 1);
    world.is(id, State::Cancelled).await;
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn what_a_newer_build_supersedes_ends_when_its_pod_is_gone(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.pods_linger = true);
    let wanted = serde_json::json!({
        "source": {"git": {"url": "https://git.example/repo.git"}},
        "destinations": ["registry.example/team/app:1"],
        "concurrency": {"group": "main", "supersede": "running"},
    });
    let old = world.submit_spec(wanted.clone()).await;
    world.claim().await;
    world.cluster.starts(old);
    world.look(old).await;
    let new = world.submit_spec(wanted).await;
    assert_eq!(world.see_cancels_through().await, 0);
    world.is(old, State::Cancelling).await;
    assert!(world.cluster.calls().contains(&Call::Removed(old)));
    world.cluster.vanishes(old);
    assert_eq!(world.see_cancels_through().await, 1);
    world.is(old, State::Superseded).await;
    assert_eq!(world.build(old).await.superseded_by, Some(new));
    assert_eq!(world.ends(old).await, 1);
    world.is(new, State::Queued).await;
}

#[sqlx::test(migrations = false)]
async fn a_pod_that_its_job_left_behind_is_removed_too(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.is_orphaned(id);
    world.cancel(id).await;
    assert_eq!(world.see_cancels_through().await, 0);
    assert!(world.cluster.calls().contains(&Call::Removed(id)));
    assert_eq!(world.see_cancels_through().await, 1);
    world.is(id, State::Cancelled).await;
}

#[sqlx::test(migrations = false)]
async fn a_removal_that_is_not_answered_is_asked_for_again(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cancel(id).await;
    world.cluster.set(|faults| faults.removals_fail = true);
    world.see_cancels_through().await;
    world.is(id, State::Cancelling).await;
    world.cluster.set(|faults| faults.removals_fail = false);
    world.see_cancels_through().await;
    world.see_cancels_through().await;
    world.is(id, State::Cancelled).await;
}

#[sqlx::test(migrations = false)]
async fn a_build_that_is_cancelled_while_it_is_launched_leaves_nothing(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.submit().await;
    let held = world.cluster.gate.write().await;
    let launching = tokio::spawn({
        let dispatcher = world.dispatcher.clone();
        async move { dispatcher.claim_once().await.expect("the database answers") }
    });
    while world.state(id).await != State::Launching {
        tokio::task::yield_now().await;
    }
    world.cancel(id).await;
    assert_eq!(
        world.see_cancels_through().await,
        0,
        "its Job may be made at any moment"
    );
    world.is(id, State::Cancelling).await;
    drop(held);
    launching.await.expect("the launch ends");
    world.see_cancels_through().await;
    world.see_cancels_through().await;
    world.is(id, State::Cancelled).await;
    assert!(!world.cluster.has(id));
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn a_build_that_went_back_to_the_queue_with_a_job_is_cancelled_with_it(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.answers_lost = true);
    let id = world.submit().await;
    world.claim().await;
    world.is(id, State::Queued).await;
    assert!(world.cluster.has(id), "only the answer was lost");
    world.cluster.set(|faults| faults.pods_linger = true);
    world.cancel(id).await;
    world.see_cancels_through().await;
    world.is(id, State::Cancelling).await;
    world.cluster.vanishes(id);
    world.see_cancels_through().await;
    world.is(id, State::Cancelled).await;
}

#[sqlx::test(migrations = false)]
async fn a_success_that_was_recorded_first_stays(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.succeeds(id);
    world.look(id).await;
    world.cancel(id).await;
    world.see_cancels_through().await;
    world.is(id, State::Succeeded).await;
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn an_image_that_was_pushed_before_the_cancel_is_a_success(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.succeeds(id);
    world.cancel(id).await;
    world.is(id, State::Cancelling).await;
    assert_eq!(world.see_cancels_through().await, 1);
    world.is(id, State::Succeeded).await;
    assert!(world.build(id).await.digest.is_some());
    assert!(world.cluster.has(id), "its Job stays as long as others do");
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn of_a_cancel_and_an_end_that_race_one_wins(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    for round in 0..40 {
        let id = world.running().await;
        if round % 2 == 0 {
            world.cluster.succeeds(id);
        } else {
            world
                .cluster
                .fails(id, Reason::BuildStepFailed, false, Advice::None);
        }
        let cancels = async {
            for _ in 0..round / 8 {
                tokio::task::yield_now().await;
            }
            world.cancel(id).await;
            world.see_cancels_through().await;
        };
        tokio::join!(cancels, world.look(id), world.look(id));
        world.see_cancels_through().await;
        let state = world.state(id).await;
        assert!(state.is_terminal(), "{state}");
        assert_eq!(world.ends(id).await, 1);
        world.cluster.vanishes(id);
    }
}
