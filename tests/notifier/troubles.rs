//! Endpoints that do not take what they are sent.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::{
    domain::{Actor, Clock, SystemClock},
    store::NotificationState,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    notifier::receiver::Receiver,
    notifier::world::{Owned, World},
};

#[sqlx::test(migrations = false)]
async fn a_later_notification_of_a_build_waits_for_the_earlier_one(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    receiver.answers_with(503);
    let id = world.started().await;
    world.succeed(id).await;
    let notifier = world.notifier();
    assert_eq!(world.settle(&notifier).await, 1);
    let told = world.told(&endpoint).await;
    assert_eq!(told[0].tries[0].status, Some(503));
    assert_eq!(told[0].tries[0].answer.as_deref(), Some("that makes 503"));
    assert_eq!(told[0].state, NotificationState::Waiting);
    let first = receiver.heard()[0].clone();

    receiver.answers_with(200);
    world.time_passes().await;
    world.settle(&notifier).await;
    assert_eq!(
        receiver.kinds(),
        ["build.queued", "build.queued", "build.started", "build.succeeded"]
    );
    let again = &receiver.heard()[1];
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    assert!(
        endpoint.verifies(again),
        "it is signed anew, with the time of the try"
    );
    let told = world.told(&endpoint).await;
    assert!(told.iter().all(|one| one.state == NotificationState::Delivered));
}

#[sqlx::test(migrations = false)]
async fn it_is_tried_ten_times_with_pauses_that_grow(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    receiver.answers_with(500);
    world.queued().await;
    let notifier = world.notifier();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.time_passes().await;
        world.settle(&notifier).await;
        let told = world.told(&endpoint).await;
        let next = told[0]
            .next_try_at
            .map(|at| at.duration_since(told[0].tries.last().expect("a try").at));
        pauses.extend(next.map(|pause| pause.as_secs()));
    }
    assert_eq!(receiver.heard().len(), 10);
    assert_eq!(pauses.len(), 9);
    assert!(
        (5..=6).contains(&pauses[0]) && (300..=360).contains(&pauses[1]),
        "{pauses:?}"
    );
    assert!((86_400..=103_680).contains(&pauses[8]), "{pauses:?}");
    assert_eq!(world.told(&endpoint).await[0].state, NotificationState::Failed);
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_may_ask_for_a_pause(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    receiver.answers(|_| (429, vec![("retry-after", "1000".to_owned())], String::new()));
    world.queued().await;
    world.settle(&world.notifier()).await;
    let told = world.told(&endpoint).await;
    let pause = told[0]
        .next_try_at
        .expect("it waits")
        .duration_since(SystemClock.now());
    assert!((900..=1000).contains(&pause.as_secs()), "{pause}");
}

#[sqlx::test(migrations = false)]
async fn gone_means_no_more(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    receiver.answers_with(410);
    let id = world.started().await;
    let notifier = world.notifier();
    world.settle(&notifier).await;
    world.succeed(id).await;
    world.time_passes().await;
    world.settle(&notifier).await;
    assert_eq!(receiver.heard().len(), 1);
    let now = world
        .store
        .endpoint(endpoint.id)
        .await
        .expect("readable")
        .expect("there");
    assert!(!now.enabled);
    assert_eq!(now.disabled_reason.as_deref(), Some("it answered 410 Gone"));
    assert_eq!(
        recorded(&world).await,
        [disabling(&endpoint, "it answered 410 Gone")]
    );
    let kinds: Vec<_> = world
        .told(&endpoint)
        .await
        .iter()
        .map(|one| one.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        ["build.queued", "build.started"],
        "it is not told of what came later"
    );
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_that_fails_for_days_is_disabled_and_can_be_enabled(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    receiver.answers_with(500);
    world.queued().await;
    let notifier = world.notifier();
    world.settle(&notifier).await;
    let now = async || {
        world
            .store
            .endpoint(endpoint.id)
            .await
            .expect("readable")
            .expect("there")
    };
    assert!(now().await.enabled && now().await.failing_since.is_some());
    sqlx::query("UPDATE endpoints SET failing_since = now() - interval '6 days'")
        .execute(&world.sql)
        .await
        .expect("time passes");
    world.time_passes().await;
    world.settle(&notifier).await;
    let disabled = now().await;
    assert!(!disabled.enabled);
    assert_eq!(
        disabled.disabled_reason.as_deref(),
        Some("it took nothing for 5 days")
    );
    world.time_passes().await;
    assert_eq!(world.settle(&notifier).await, 0, "nothing is sent to it");

    receiver.answers_with(200);
    assert_eq!(
        recorded(&world).await,
        [disabling(&endpoint, "it took nothing for 5 days")]
    );
    let settings = slipway::store::EndpointSettings {
        enabled: true,
        ..disabled.settings()
    };
    let actor = Actor::command_line();
    let change = async |settings| {
        let changed = world.store.change_endpoint(&disabled, settings, &actor).await;
        changed.expect("it is looked at")
    };
    assert!(change(&settings).await);
    assert!(
        !change(&disabled.settings()).await,
        "it is no more as it was seen"
    );
    world.settle(&notifier).await;
    let enabled = now().await;
    assert!(enabled.enabled && enabled.failing_since.is_none() && enabled.disabled_reason.is_none());
    assert_eq!(world.told(&endpoint).await[0].state, NotificationState::Delivered);
}

#[sqlx::test(migrations = false)]
async fn a_slow_endpoint_holds_up_nobody_else_and_gets_no_more_than_its_share(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let (slow, quick) = (Receiver::new().await, Receiver::new().await);
    world.endpoint(&slow.url).await;
    slow.holds_back();
    for _ in 0..20 {
        world.queued().await;
    }
    world.endpoint(&quick.url).await;
    let stop = CancellationToken::new();
    let replicas: Vec<_> = (0..2)
        .map(|_| tokio::spawn(world.notifier().run(stop.clone(), stop.clone())))
        .collect();
    until(|| slow.heard().len() == 4).await;
    for _ in 0..20 {
        world.queued().await;
    }
    until(|| quick.heard().len() == 20).await;
    assert_eq!(slow.heard().len(), 4, "two replicas together try four at once");
    slow.lets_go(1);
    until(|| slow.heard().len() == 5).await;
    slow.lets_go(100);
    until(|| slow.heard().len() == 40).await;
    stop.cancel();
    for replica in replicas {
        replica.await.expect("it stops");
    }
}

/// What the service itself did, as the audit log has it: what, to which endpoint, and what it is since then.
async fn recorded(world: &World) -> Vec<(String, String, Option<Value>)> {
    let entries = world.store.audit(None, 100).await.expect("readable");
    let own = entries
        .into_iter()
        .filter(|entry| entry.actor == Actor::service());
    own.map(|entry| (entry.action, entry.subject, entry.after))
        .collect()
}

fn disabling(endpoint: &Owned, reason: &str) -> (String, String, Option<Value>) {
    let after = json!({"enabled": false, "disabled_reason": reason});
    (
        "endpoint.disabled".to_owned(),
        endpoint.id.to_string(),
        Some(after),
    )
}

/// Waits for what will happen.
async fn until(happened: impl Fn() -> bool) {
    let looking = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), looking)
        .await
        .expect("it happens in time");
}
