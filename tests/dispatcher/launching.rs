//! From queued to running, whatever the cluster answers.

use std::time::Duration;

use serde_json::json;
use slipway::{
    dispatcher::Options,
    domain::{Actor, ContextId, ProjectName, ProjectTerms, Reason, State},
    store::Slots,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatcher::cluster::Call,
    dispatcher::world::{World, options},
};

#[sqlx::test(migrations = false)]
async fn a_build_gets_a_job_and_runs(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.submit().await;
    assert_eq!(world.claim().await, 1);
    world.is(id, State::Running).await;
    assert_eq!(world.cluster.calls(), [Call::Created(id)]);
    assert_eq!(world.claim().await, 0, "nothing is left to claim");
}

#[sqlx::test(migrations = false)]
async fn no_more_is_claimed_than_there_are_slots(_: PgPoolOptions, database: PgConnectOptions) {
    let slots = Slots {
        total: 2,
        per_project: 10,
    };
    let world = World::with(database, slipway::dispatcher::Options { slots, ..options() }).await;
    for _ in 0..5 {
        world.submit().await;
    }
    assert_eq!(world.claim().await, 2);
    assert_eq!(world.claim().await, 0);
    let first = world.cluster.jobs()[0];
    world.cluster.starts(first);
    world.cluster.succeeds(first);
    world.look(first).await;
    assert_eq!(world.claim().await, 1, "the end of a build frees its slot");
}

#[sqlx::test(migrations = false)]
async fn a_job_whose_creation_was_not_answered_is_adopted(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.answers_lost = true);
    let id = world.submit().await;
    world.claim().await;
    world.is(id, State::Queued).await;
    world.cluster.set(|faults| faults.answers_lost = false);
    world.time_passes().await;
    world.claim().await;
    world.is(id, State::Running).await;
    assert_eq!(world.cluster.calls(), [Call::Created(id), Call::Adopted(id)]);
}

#[sqlx::test(migrations = false)]
async fn while_the_cluster_is_away_builds_wait_and_none_fails(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.down = true);
    let id = world.submit().await;
    for _ in 0..20 {
        world.claim().await;
        world.reconcile().await;
        world.is(id, State::Queued).await;
        world.time_passes().await;
    }
    world.cluster.set(|faults| faults.down = false);
    world.claim().await;
    world.is(id, State::Running).await;
    assert_eq!(world.cluster.created(id), 1);
}

#[sqlx::test(migrations = false)]
async fn a_strangers_job_is_not_adopted(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.submit().await;
    world.cluster.set(|faults| {
        faults.strangers.insert(id);
    });
    world.claim().await;
    let failure = world.build(id).await.failure.expect("it failed");
    assert_eq!(failure.reason, Reason::NameConflict);
    assert_eq!(world.ends(id).await, 1);
}

#[sqlx::test(migrations = false)]
async fn a_refused_launch_is_tried_a_few_times(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.refused = true);
    let id = world.submit().await;
    for _ in 0..2 {
        world.claim().await;
        world.is(id, State::Queued).await;
        world.time_passes().await;
    }
    world.claim().await;
    let failure = world.build(id).await.failure.expect("it failed");
    assert_eq!(failure.reason, Reason::LaunchFailed);
    assert!(failure.message.contains("forbidden"), "{}", failure.message);
}

#[sqlx::test(migrations = false)]
async fn a_claim_that_was_not_followed_up_passes_on(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.submit().await;
    let options = options();
    let claims = world
        .store
        .claim(options.slots, options.lease, 10)
        .await
        .expect("it answers");
    assert_eq!(claims.len(), 1, "a dispatcher claims, and is killed");
    assert_eq!(world.claim().await, 0, "its lease still runs");
    world.time_passes().await;
    assert_eq!(world.claim().await, 1);
    world.is(id, State::Running).await;

    // The first one was only stopped, and goes on: what it writes late changes nothing.
    let before = world.build(id).await;
    let late = claims[0].token;
    assert!(
        !world
            .store
            .launched(id, late, "another")
            .await
            .expect("it answers")
    );
    assert!(
        !world
            .store
            .release(id, late, Duration::ZERO)
            .await
            .expect("it answers")
    );
    assert_eq!(world.build(id).await, before);
    assert_eq!(world.cluster.created(id), 1);
}

#[sqlx::test(migrations = false)]
async fn a_claim_that_was_not_followed_up_has_its_turn_in_a_long_queue(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    // Each claim takes all that it may, and there are more.
    let plenty = Slots {
        total: 1000,
        per_project: 1000,
    };
    let options = Options {
        slots: plenty,
        launches: 1,
        ..options()
    };
    let world = World::with(database, options.clone()).await;
    let left = world.submit().await;
    let claims = world.store.claim(plenty, options.lease, 1).await;
    assert_eq!(
        claims.expect("it answers").len(),
        1,
        "a dispatcher claims, and is killed"
    );
    world.time_passes().await;
    for _ in 0..50 {
        world.submit().await;
    }
    let soft = CancellationToken::new();
    let dispatcher = world.dispatcher.clone();
    let running = tokio::spawn(dispatcher.run(soft.clone(), CancellationToken::new()));
    let launches = "SELECT build_id FROM build_events WHERE state = 'running' ORDER BY id";
    let order = async {
        loop {
            let order: Vec<uuid::Uuid> = sqlx::query_scalar(launches)
                .fetch_all(&world.sql)
                .await
                .expect("the events can be read");
            if order.len() == 51 {
                break order;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let order = tokio::time::timeout(Duration::from_secs(60), order).await;
    let order = order.expect("all are launched");
    let turn = order.iter().position(|id| *id == left.0).expect("it is launched");
    assert!(turn < 10, "it was the {turn}th of {}", order.len());
    soft.cancel();
    running.await.expect("it ends");
}

#[sqlx::test(migrations = false)]
async fn an_uploaded_context_comes_with_a_token_that_opens_it(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let context = ContextId::generate();
    let project = slipway::domain::ProjectName::default();
    world.store.begin_context(context).await.expect("it is stored");
    let added = world.store.add_context(context, &project, 7, [3; 32]).await;
    added.expect("it is stored").expect("it was begun");
    let id = world
        .submit_from(json!({"upload": {"context_id": context}}))
        .await;
    world.claim().await;

    let grant = world.cluster.order(id).context.expect("the source is an upload");
    assert_eq!(
        grant.url.as_str(),
        format!("http://slipway.internal:8080/api/v1/contexts/{context}/content")
    );
    assert_eq!((grant.size, grant.sha256), (7, [3; 32]));
    let token = secrecy::ExposeSecret::expose_secret(&grant.token);
    assert!(token.len() >= 43, "at least 256 bits");
    let sha256 = <sha2::Sha256 as sha2::Digest>::digest(token).into();
    assert!(
        world
            .store
            .may_read_context(context, sha256)
            .await
            .expect("it answers")
    );
    assert!(
        !world
            .store
            .may_read_context(context, [0; 32])
            .await
            .expect("it answers")
    );
}

#[sqlx::test(migrations = false)]
async fn a_launch_is_told_what_is_settled_for_its_project(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let terms = json!({"settings": {"push_mode": "isolated", "push_secret": "team-registry"}});
    let terms: ProjectTerms = serde_json::from_value(terms).expect("the terms are valid");
    let (project, actor) = (ProjectName::default(), Actor::command_line());
    let made = world.store.add_project(&project, &terms, &actor).await;
    assert!(made.expect("it can be written").is_some());
    let id = world.submit().await;
    world.claim().await;
    assert_eq!(world.cluster.order(id).project, terms.settings);
}
