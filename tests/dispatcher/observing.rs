//! What is seen of a build, and what is recorded of it.

use slipway::{
    domain::{AttemptState, Phase, Reason, State, outcome::Advice},
    launcher::Launcher,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    dispatcher::cluster::{Call, digest},
    dispatcher::world::World,
};

#[sqlx::test(migrations = false)]
async fn a_success_is_recorded_with_its_digest(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    assert_eq!(world.build(id).await.phase, Some(Phase::Building));
    world.cluster.succeeds(id);
    world.look(id).await;
    world.look(id).await;
    let build = world.build(id).await;
    assert_eq!((build.state, build.digest), (State::Succeeded, Some(digest())));
    let attempts = world.store.attempts(id).await.expect("it answers");
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].state, attempts[0].exit_code),
        (AttemptState::Succeeded, Some(0))
    );
    assert_eq!(world.ends(id).await, 1, "looking again changes nothing");
}

#[sqlx::test(migrations = false)]
async fn a_pointless_retry_is_stopped(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world
        .cluster
        .fails(id, Reason::DockerfileInvalid, true, Advice::StopRetrying);
    world.look(id).await;
    assert!(world.cluster.calls().contains(&Call::StopRetrying(id)));
    world.is(id, State::Running).await;
    assert_eq!(world.build(id).await.retries, 1);
}

#[sqlx::test(migrations = false)]
async fn a_retry_is_started_where_the_launcher_does_not(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world
        .cluster
        .fails(id, Reason::RegistryUnavailable, true, Advice::StartAttempt(2));
    world.look(id).await;
    assert!(world.cluster.calls().contains(&Call::StartAttempt(id, 2)));
}

#[sqlx::test(migrations = false)]
async fn no_attempt_is_started_for_a_build_that_is_being_cancelled(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cancel(id).await;
    world
        .cluster
        .fails(id, Reason::RegistryUnavailable, true, Advice::StartAttempt(2));
    world.look(id).await;
    assert!(!world.cluster.calls().contains(&Call::StartAttempt(id, 2)));
}

#[sqlx::test(migrations = false)]
async fn a_build_that_waits_too_long_fails_with_the_clusters_reason(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world
        .cluster
        .waits(id, Reason::Unschedulable, "0/3 nodes are available");
    world.look(id).await;
    let build = world.build(id).await;
    assert_eq!(
        (build.state, build.waiting_reason),
        (State::Running, Some(Reason::Unschedulable))
    );

    world.has_waited(id, 599.0).await;
    world.look(id).await;
    world.is(id, State::Running).await;

    world.has_waited(id, 601.0).await;
    world.look(id).await;
    let failure = world.build(id).await.failure.expect("it failed");
    assert_eq!(failure.reason, Reason::Unschedulable);
    assert!(
        failure.message.contains("0/3 nodes are available"),
        "{}",
        failure.message
    );
    assert!(!world.cluster.has(id), "its Job could start yet");
}

#[sqlx::test(migrations = false)]
async fn the_clusters_own_pause_between_attempts_is_no_wait_for_a_container(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    world
        .cluster
        .fails(id, Reason::RegistryUnavailable, true, Advice::None);
    world.look(id).await;
    // The deadline is 600 s, and Kubernetes lets 10 s pass after the first failure.
    world.has_waited(id, 605.0).await;
    world.look(id).await;
    world.is(id, State::Running).await;
    world.has_waited(id, 611.0).await;
    world.look(id).await;
    world.is(id, State::Failed).await;
}

#[sqlx::test(migrations = false)]
async fn what_a_pod_failed_of_is_known_after_it_is_gone(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world
        .cluster
        .fails(id, Reason::BuildStepFailed, true, Advice::None);
    world.look(id).await;
    world.cluster.forgets_its_pods(id);
    world.look(id).await;
    let failure = world.build(id).await.failure.expect("it failed");
    assert_eq!(
        (failure.reason, failure.exit_code),
        (Reason::BuildStepFailed, Some(1))
    );
}

#[sqlx::test(migrations = false)]
async fn a_job_that_was_given_up_is_removed_however_often_it_takes(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.launched().await;
    world
        .cluster
        .waits(id, Reason::BuilderImageUnavailable, "ImagePullBackOff");
    world.has_waited(id, 601.0).await;
    world.cluster.set(|faults| faults.removals_fail = true);
    world.look(id).await;
    world.is(id, State::Failed).await;
    assert!(world.cluster.has(id));

    world.cluster.set(|faults| faults.removals_fail = false);
    world.reconcile().await;
    assert!(
        !world.cluster.has(id),
        "a Job that may still start does not get the grace of one that has ended"
    );
}

#[sqlx::test(migrations = false)]
async fn a_failure_by_somebodys_deletion_is_not_the_builds(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    // kubectl delete --cascade=foreground: kaniko is told to stop and exits with 2, for no reason that it names.
    world.cluster.is_being_deleted(id);
    world.cluster.fails(id, Reason::Unknown, false, Advice::None);
    world.look(id).await;
    world.is(id, State::Running).await;
    world.cluster.vanishes(id);
    world.reconcile().await;
    world.is(id, State::Running).await;
    assert_eq!(world.cluster.created(id), 2, "it was made again");
}

#[sqlx::test(migrations = false)]
async fn a_failure_of_its_own_counts_even_when_the_job_is_being_deleted(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let id = world.running().await;
    world
        .cluster
        .fails(id, Reason::BuildStepFailed, false, Advice::None);
    world.cluster.is_being_deleted(id);
    world.look(id).await;
    assert_eq!(
        world.build(id).await.failure.expect("it failed").reason,
        Reason::BuildStepFailed
    );
}

#[sqlx::test(migrations = false)]
async fn a_launcher_that_does_nothing_takes_builds_to_their_ends(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let noop = std::sync::Arc::new(slipway::launcher::noop::Noop::default());
    let dispatcher = slipway::dispatcher::Dispatcher::new(
        world.store.clone(),
        noop.clone(),
        crate::dispatcher::world::options(),
    );
    let (id, other) = (world.submit().await, world.submit().await);
    assert_eq!(dispatcher.claim_once().await.expect("it answers"), 2);
    world.cancel(other).await;
    dispatcher.observe_once(id).await.expect("it answers");
    for _ in 0..2 {
        dispatcher.cancel_once().await.expect("it answers");
    }
    world.is(id, State::Succeeded).await;
    // What ends the moment it is launched cannot be stopped.
    world.is(other, State::Succeeded).await;
    for id in [id, other] {
        world.ended_before(id, 601.0).await;
    }
    dispatcher.reconcile_once().await.expect("it answers");
    assert!(noop.list().await.expect("it answers").is_empty());
}
