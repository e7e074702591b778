//! Logs are stored while they grow, once each byte, and to their ends before their pods go.

use slipway::domain::{Reason, outcome::Advice};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    dispatcher::cluster::Call,
    dispatcher::world::{World, options},
};

#[sqlx::test(migrations = false)]
async fn a_log_is_followed_to_its_end(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "one\n");
    world.look(id).await;
    assert_eq!(world.log(id, 1).await, ("one\n".to_owned(), false));
    world.cluster.prints(id, "two\n");
    world.cluster.succeeds(id);
    world.look(id).await;
    assert_eq!(world.log(id, 1).await, ("one\ntwo\n".to_owned(), true));
}

#[sqlx::test(migrations = false)]
async fn a_pod_that_was_gone_before_anybody_looked_leaves_its_log(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world.cluster.starts(id);
    world.cluster.prints(id, "quick\n");
    world
        .cluster
        .fails(id, Reason::BuildStepFailed, false, Advice::None);
    world.look(id).await;
    assert_eq!(world.log(id, 1).await, ("quick\n".to_owned(), true));
}

#[sqlx::test(migrations = false)]
async fn another_replica_goes_on_where_the_first_stopped(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "12345\n67");
    world.look(id).await;
    world.cluster.prints(id, "89");
    world.cluster.succeeds(id);
    let other = world.replica(options());
    other.observe_once(id).await.expect("it answers");
    other.settled().await;
    assert_eq!(world.log(id, 1).await, ("12345\n6789".to_owned(), true));
    let last = world
        .cluster
        .calls()
        .into_iter()
        .rfind(|call| matches!(call, Call::Log(..)));
    assert!(matches!(last, Some(Call::Log(_, 6))), "{last:?}");
}

#[sqlx::test(migrations = false)]
async fn a_log_without_an_end_is_cut_with_a_marker(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, &"x".repeat(1_000_000));
    world.look(id).await;
    world.cluster.succeeds(id);
    world.look(id).await;
    let (text, complete) = world.log(id, 1).await;
    assert!(text.starts_with(&"x".repeat(10_000)));
    assert!(
        text.len() < 10_200 && text.contains("the rest is not kept"),
        "{} bytes",
        text.len()
    );
    assert!(complete);
}

#[sqlx::test(migrations = false)]
async fn each_attempt_has_a_log_of_its_own(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "first");
    world.cluster.fails(id, Reason::PushFailed, true, Advice::None);
    world.look(id).await;
    world.cluster.starts(id);
    world.cluster.prints(id, "second");
    world.cluster.succeeds(id);
    world.look(id).await;
    assert_eq!(world.log(id, 1).await, ("first".to_owned(), true));
    assert_eq!(world.log(id, 2).await, ("second".to_owned(), true));
}

#[sqlx::test(migrations = false)]
async fn a_job_stays_until_its_log_is_stored(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.prints(id, "what was wrong");
    world.cluster.set(|faults| faults.logs_fail = true);
    world
        .cluster
        .fails(id, Reason::BuildStepFailed, false, Advice::None);
    // The end is recorded without waiting for the log.
    world.dispatcher.observe_once(id).await.expect("it answers");
    assert!(world.state(id).await.is_terminal());
    world.ended_before(id, 601.0).await;
    world.dispatcher.reconcile_once().await.expect("it answers");
    assert!(world.cluster.has(id), "its log is not stored yet");

    world.cluster.set(|faults| faults.logs_fail = false);
    world.dispatcher.settled().await;
    world.reconcile().await;
    assert_eq!(world.log(id, 1).await, ("what was wrong".to_owned(), true));
    assert!(!world.cluster.has(id));
}
