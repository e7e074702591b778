//! Rows without Jobs, and Jobs without rows.

use slipway::domain::{BuildId, Reason, State};
use slipway::launcher::Launcher;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::dispatcher::world::World;

#[sqlx::test(migrations = false)]
async fn what_the_watch_missed_is_found(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.succeeds(id);
    world.reconcile().await;
    world.is(id, State::Succeeded).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_vanishes_is_made_again_but_not_for_ever(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    for relaunches in 1..=3 {
        world.cluster.vanishes(id);
        world.reconcile().await;
        world.is(id, State::Running).await;
        assert_eq!(world.cluster.created(id), 1 + relaunches);
    }
    world.cluster.vanishes(id);
    world.reconcile().await;
    assert_eq!(
        world.build(id).await.failure.expect("it failed").reason,
        Reason::JobLost
    );
    assert_eq!(world.cluster.created(id), 4);
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn nothing_is_concluded_while_the_cluster_does_not_answer(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    let before = world.build(id).await;
    world.cluster.set(|faults| faults.down = true);
    for _ in 0..5 {
        world.reconcile().await;
        world.look(id).await;
    }
    assert_eq!(world.build(id).await, before);
}

#[sqlx::test(migrations = false)]
async fn an_ended_job_stays_for_a_while(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.succeeds(id);
    world.look(id).await;
    world.ended_before(id, 590.0).await;
    world.reconcile().await;
    assert!(world.cluster.has(id));
    world.ended_before(id, 601.0).await;
    world.reconcile().await;
    assert!(!world.cluster.has(id));
    world.is(id, State::Succeeded).await;
}

#[sqlx::test(migrations = false)]
async fn a_job_of_a_cancelled_build_goes_at_once(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    let order = world.cluster.order(id);
    world.cancel(id).await;
    world.see_cancels_through().await;
    world.see_cancels_through().await;
    world.is(id, State::Cancelled).await;
    // A process that was stopped in the middle of a launch goes on an hour later.
    world.cluster.launch(&order).await.expect("it is created");
    world.reconcile().await;
    assert!(!world.cluster.has(id));
}

#[sqlx::test(migrations = false)]
async fn a_job_of_an_unknown_build_is_not_touched_while_it_runs(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let known = world.running().await;
    // Of another installation in the same namespace, or of a database that was restored from a backup.
    let order = slipway::launcher::Order {
        id: BuildId::generate(),
        ..world.cluster.order(known)
    };
    world.cluster.launch(&order).await.expect("it is created");
    world.cluster.starts(order.id);
    world.reconcile().await;
    world.reconcile().await;
    assert!(world.cluster.has(order.id));
}

#[sqlx::test(migrations = false)]
async fn a_job_whose_build_waits_for_its_next_launch_is_kept(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.answers_lost = true);
    let id = world.submit().await;
    world.claim().await;
    world.reconcile().await;
    world.is(id, State::Queued).await;
    assert!(world.cluster.has(id));
}
