//! Notifiers that die or race, and a database that goes away.

use std::{collections::HashMap, time::Duration};

use slipway::store::{ClaimLimits, NotificationState, TryOutcome, TrySeen};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{notifier::receiver::Receiver, notifier::world::World};

const LIMITS: ClaimLimits = ClaimLimits {
    per_target: 4,
    most: 100,
    lease: Duration::from_secs(60),
};

#[sqlx::test(migrations = false)]
async fn what_a_dead_notifier_had_claimed_is_sent_by_another(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    world.queued().await;
    let claimed = world
        .store
        .claim_notifications(LIMITS)
        .await
        .expect("claims work");
    assert_eq!(claimed.len(), 1);
    let notifier = world.notifier();
    assert_eq!(
        notifier.step().await.expect("readable"),
        0,
        "it is another's for now"
    );
    world.time_passes().await;
    assert_eq!(world.settle(&notifier).await, 1);
    let late = world
        .store
        .record_try(
            &claimed[0],
            &TrySeen::default(),
            &TryOutcome::GivenUp,
            Duration::MAX / 4,
        )
        .await;
    assert!(!late.expect("it answers"), "who comes late changes nothing");
    let told = world.told(&endpoint).await;
    assert_eq!(told[0].state, NotificationState::Delivered);
    assert_eq!(told[0].tries.len(), 1, "of the first try nothing is known");
    assert_eq!(told[0].tries[0].number, 2);
}

#[sqlx::test(migrations = false)]
async fn a_claim_whose_notifications_cannot_be_read_is_given_back_at_once(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    world.endpoint(&receiver.url).await;
    world.queued().await;
    // The claim itself does not read this table; what is needed to send does.
    let mut other = world.sql.begin().await.expect("it begins");
    sqlx::query("LOCK TABLE commit_statuses")
        .execute(&mut *other)
        .await
        .expect("it is locked");
    let store = world.store.clone();
    let claiming = tokio::spawn(async move { store.claim_notifications(LIMITS).await });
    let broken = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%commit_statuses%'";
    while sqlx::query(broken)
        .fetch_optional(&world.sql)
        .await
        .expect("it answers")
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let claimed = claiming.await.expect("no panic");
    assert!(claimed.is_err(), "{claimed:?}");
    other.rollback().await.expect("it ends");
    assert_eq!(
        world.settle(&world.notifier()).await,
        1,
        "it is due now, not after the lease"
    );
}

#[sqlx::test(migrations = false)]
async fn two_notifiers_send_each_notification_once_and_in_order(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    world.endpoint(&receiver.url).await;
    let mut builds = Vec::new();
    for _ in 0..15 {
        builds.push(world.started().await);
    }
    for id in &builds {
        world.succeed(*id).await;
    }
    let (one, two) = (world.notifier(), world.notifier());
    tokio::join!(world.settle(&one), world.settle(&two));
    world.settle(&one).await;
    let mut of: HashMap<String, Vec<String>> = HashMap::new();
    for heard in receiver.heard() {
        let id = heard.json()["data"]["id"].as_str().expect("an id").to_owned();
        of.entry(id).or_default().push(heard.kind());
    }
    assert_eq!(of.len(), 15);
    for kinds in of.values() {
        assert_eq!(kinds, &["build.queued", "build.started", "build.succeeded"]);
    }
}

#[sqlx::test(migrations = false)]
async fn what_came_of_a_try_is_recorded_when_the_database_is_back(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    world.queued().await;
    receiver.holds_back();
    let notifier = world.notifier();
    let sending = tokio::spawn(async move { notifier.step().await });
    while receiver.heard().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let away = "ALTER TABLE notification_tries RENAME TO away";
    sqlx::query(away).execute(&world.sql).await.expect("it goes away");
    receiver.lets_go(10);
    // The first record fails in the meantime; nothing is lost by it, and nothing sent twice.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.heard().len(), 1);
    let back = "ALTER TABLE away RENAME TO notification_tries";
    sqlx::query(back).execute(&world.sql).await.expect("it is back");
    sending.await.expect("no panic").expect("it is sent");
    let told = world.told(&endpoint).await;
    assert_eq!(told[0].state, NotificationState::Delivered);
    assert_eq!(receiver.heard().len(), 1);
}

#[sqlx::test(migrations = false)]
async fn what_is_due_is_found_behind_a_long_backlog_of_its_endpoint(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    sqlx::query(
        "INSERT INTO notifications (target, endpoint_id, build_id, type, next_try_at)
         SELECT $1::text, $2, gen_random_uuid(), 'build.queued', now() + interval '1 h' FROM generate_series(1, 50000)",
    )
    .bind(endpoint.id.to_string())
    .bind(endpoint.id.0)
    .execute(&world.sql)
    .await
    .expect("a backlog");
    world.queued().await;
    let claimed = world
        .store
        .claim_notifications(LIMITS)
        .await
        .expect("claims work");
    assert_eq!(claimed.len(), 1);
}
