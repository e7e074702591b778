//! What endpoints are told, and that they can tell that it was us.

use std::collections::HashSet;

use slipway::{
    domain::{
        Actor,
        endpoint::{EventType, Format, SigningSecret},
    },
    store::NotificationState,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    notifier::receiver::Receiver,
    notifier::world::{World, verifies},
};

#[sqlx::test(migrations = false)]
async fn an_endpoint_hears_of_a_builds_whole_life_in_order(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&format!("{}/hook?x=1", receiver.url)).await;
    let (good, bad) = (world.started().await, world.started().await);
    world.succeed(good).await;
    world.fail(bad).await;
    world.settle(&world.notifier()).await;

    let heard = receiver.heard();
    assert_eq!(heard.len(), 6);
    assert!(heard.iter().all(|one| endpoint.verifies(one)));
    assert!(heard.iter().all(|one| !verifies(&SigningSecret::generate(), one)));
    let ids: HashSet<&str> = heard.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids.len(), 6, "each has an id of its own");
    let of = |id: slipway::domain::BuildId| {
        let of: Vec<_> = heard
            .iter()
            .map(|one| one.json())
            .filter(|one| one["data"]["id"] == id.to_string())
            .collect();
        of
    };
    let kinds = |id| {
        of(id)
            .iter()
            .map(|one| one["type"].as_str().expect("a type").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(good), ["build.queued", "build.started", "build.succeeded"]);
    assert_eq!(kinds(bad), ["build.queued", "build.started", "build.failed"]);
    let end = &of(bad)[2];
    assert_eq!(end["data"]["failure"]["reason"], "build_step_failed");
    assert_eq!(end["data"]["failure"]["class"], "user");
    assert_eq!(end["data"]["failure"]["exit_code"], 2);
    assert_eq!(
        end["data"]["url"],
        format!("https://slipway.example/api/v1/builds/{bad}")
    );
    assert_eq!(of(good)[0]["data"]["digest"], serde_json::Value::Null);
    assert!(
        of(good)[2]["data"]["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:abab"))
    );
    assert_eq!(of(good)[2]["data"]["state"], "succeeded");
    assert!(
        heard
            .iter()
            .all(|one| one.path == "/hook?x=1" && one.header("content-type") == "application/json")
    );
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_hears_of_what_it_wants_in_its_own_project(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let wanted = [EventType::Failed, EventType::Cancelled];
    world
        .endpoint_of("default", &receiver.url, Format::Standard, &wanted)
        .await;
    world
        .endpoint_of("other", &receiver.url, Format::Standard, &EventType::OF_BUILDS)
        .await;
    let (failed, cancelled) = (world.started().await, world.queued().await);
    world.fail(failed).await;
    world.store.cancel(cancelled).await.expect("it can be cancelled");
    world.settle(&world.notifier()).await;
    let mut kinds = receiver.kinds();
    kinds.sort();
    assert_eq!(kinds, ["build.cancelled", "build.failed"]);
}

#[sqlx::test(migrations = false)]
async fn a_project_without_endpoints_leaves_nothing_behind(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.started().await;
    world.succeed(id).await;
    assert_eq!(world.count("notifications").await, 0);
}

#[sqlx::test(migrations = false)]
async fn what_is_not_committed_is_not_told(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    world.endpoint(&receiver.url).await;
    let id = world.queued().await;
    let mut db = world.sql.begin().await.expect("a transaction");
    sqlx::query(
        "INSERT INTO build_events (build_id, project_id, state, cause)
         SELECT id, project_id, 'running', 'launch' FROM builds WHERE id = $1",
    )
    .bind(id.0)
    .execute(&mut *db)
    .await
    .expect("the event is written");
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM notifications")
        .fetch_one(&mut *db)
        .await
        .expect("it can be counted");
    assert_eq!(seen, 2, "the transaction itself sees what it will tell");
    db.rollback().await.expect("it is undone");
    world.settle(&world.notifier()).await;
    assert_eq!(receiver.kinds(), ["build.queued"]);
}

#[sqlx::test(migrations = false)]
async fn both_secrets_count_while_one_replaces_the_other(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let new = SigningSecret::generate();
    let sealed = world
        .keyring
        .seal(&SigningSecret::context(endpoint.id), new.text());
    assert!(
        world
            .store
            .rotate_endpoint_secret(endpoint.id, &sealed, 3600, &Actor::command_line())
            .await
            .expect("it is stored")
    );
    world.queued().await;
    world.settle(&world.notifier()).await;
    sqlx::query("UPDATE endpoints SET old_secret_until = now()")
        .execute(&world.sql)
        .await
        .expect("an hour passes");
    world.queued().await;
    world.settle(&world.notifier()).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].header("webhook-signature").split(' ').count(), 2);
    assert!(endpoint.verifies(&heard[0]) && verifies(&new, &heard[0]));
    assert!(!endpoint.verifies(&heard[1]) && verifies(&new, &heard[1]));
}

#[sqlx::test(migrations = false)]
async fn tests_and_what_is_sent_once_more_arrive(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let number = world
        .store
        .test_endpoint(endpoint.id)
        .await
        .expect("it is stored");
    let number = number.expect("there is such an endpoint");
    let notifier = world.notifier();
    world.settle(&notifier).await;
    assert!(
        world
            .store
            .redeliver(endpoint.id, number)
            .await
            .expect("it is stored")
    );
    world.settle(&notifier).await;
    let heard = receiver.heard();
    assert_eq!(receiver.kinds(), ["endpoint.test", "endpoint.test"]);
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
    assert_eq!(heard[0].body, heard[1].body);
    assert!(heard.iter().all(|one| endpoint.verifies(one)));
    let told = world.told(&endpoint).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].state, NotificationState::Delivered);
    assert_eq!(
        told[0].tries.iter().map(|one| one.number).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[sqlx::test(migrations = false)]
async fn docker_hubs_shape_tells_of_images(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world
        .endpoint_of(
            "default",
            &receiver.url,
            Format::Dockerhub,
            &[EventType::Succeeded],
        )
        .await;
    let id = world.started().await;
    world.succeed(id).await;
    world.settle(&world.notifier()).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 1);
    assert!(endpoint.verifies(&heard[0]));
    let body = heard[0].json();
    assert_eq!(body["push_data"]["tag"], "1.2");
    assert_eq!(body["repository"]["repo_name"], "team/app");
    assert_eq!(body["repository"]["namespace"], "team");
    assert_eq!(body["repository"]["name"], "app");
    assert_eq!(
        body["repository"]["repo_url"],
        "https://registry.example/team/app"
    );
}

#[sqlx::test(migrations = false)]
async fn what_is_old_is_forgotten_and_what_waits_is_not(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    world.queued().await;
    world.settle(&world.notifier()).await;
    receiver.answers_with(500);
    world.queued().await;
    world.settle(&world.notifier()).await;
    let day = std::time::Duration::from_secs(86_400);
    let remove = async || {
        let batch = world.store.remove_old_notifications(day, 0).await;
        batch.expect("it can be swept").removed
    };
    assert_eq!(remove().await, 0);
    let age = "UPDATE notifications SET created_at = now() - interval '2 days'";
    sqlx::query(age).execute(&world.sql).await.expect("time passes");
    assert_eq!(remove().await, 1);
    assert_eq!(world.told(&endpoint).await.len(), 1);
    assert_eq!(world.count("notification_tries").await, 1);
    let age = "UPDATE notifications SET created_at = now() - interval '15 days'";
    sqlx::query(age).execute(&world.sql).await.expect("time passes");
    assert_eq!(remove().await, 1);
    assert_eq!(world.count("notification_tries").await, 0);
}
