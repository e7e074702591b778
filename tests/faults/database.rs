//! Postgres that crashes, answers that are lost, a connection that is dead and does not say so.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use slipway::domain::{
    BuildId,
    State::{Failed, Running, Succeeded},
};

use crate::{
    faults::proxy::{Act, Calls, Proxy},
    faults::wire::Wire,
    faults::world::{SOON, World},
};

/// A client that asks for builds, each under a key of its own, and asks again until it is told.
struct Client {
    http: reqwest::Client,
    addresses: Vec<String>,
    body: Value,
    token: String,
}

impl Client {
    async fn of(world: &World, kind: &str) -> Self {
        let replicas = world.replicas.iter();
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("an HTTP client"),
            addresses: replicas
                .map(|replica| replica.service.url("api/v1/builds"))
                .collect(),
            body: world.request(kind),
            token: world.service(0).token().await.expect("it is ready").to_owned(),
        }
    }

    async fn ask(&self, address: &str, key: &str) -> reqwest::Result<reqwest::Response> {
        let request = self.http.post(address).header("idempotency-key", key);
        let request = request
            .header("content-type", "application/json")
            .bearer_auth(&self.token);
        request.body(self.body.to_string()).send().await
    }
}

async fn id(answer: reqwest::Response) -> BuildId {
    let body: Value = answer.json().await.expect("a build");
    body["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("a build has an id")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn postgres_crashes_under_load_and_no_accepted_request_is_lost() {
    let mut world = World::new(2).await;
    world.up().await;
    let running = world.at_work(0, "slow").await;
    let client = Arc::new(Client::of(&world, "absent").await);
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let refused = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (client, accepted, refused) = (client.clone(), accepted.clone(), refused.clone());
            tokio::spawn(async move {
                for round in 0..8 {
                    let key = format!("client-{number}-{round}");
                    let begun = Instant::now();
                    loop {
                        assert!(begun.elapsed() < SOON, "{key} is never told");
                        let address = &client.addresses[(number + round) % client.addresses.len()];
                        let answer = client.ask(address, &key).await.expect("the service answers");
                        if answer.status().is_success() {
                            let id = id(answer).await;
                            accepted.lock().expect("no panic").push(id);
                            break;
                        }
                        let retry = answer.headers().get("retry-after").is_some();
                        refused
                            .lock()
                            .expect("no panic")
                            .push((answer.status().as_u16(), retry));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    let some = async || (accepted.lock().expect("no panic").len() > 4).then_some(());
    world.until("some builds to be accepted", SOON, some).await;
    world.postgres.crash();
    let said = async || (!refused.lock().expect("no panic").is_empty()).then_some(());
    world.until("somebody to be told", SOON, said).await;
    let (status, _) = world.service(0).get("readyz").await;
    assert_eq!(status, 503);
    world.postgres.resume();
    for client in clients {
        client.await.expect("the client went on to its end");
    }
    let refused = refused.lock().expect("no panic").clone();
    assert!(refused.iter().all(|answer| *answer == (503, true)), "{refused:?}");
    let mut accepted = accepted.lock().expect("no panic").clone();
    assert_eq!(accepted.len(), 32);
    accepted.sort_unstable();
    accepted.dedup();
    assert_eq!(accepted.len(), 32, "one build for each key");
    world.accepted.extend(accepted);
    let build = world.ended(1, running).await;
    assert_eq!(build["state"], "succeeded", "{build:#}");
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_answer_that_was_lost_is_had_again_from_another_replica() {
    let mut world = World::new(2).await;
    world.up().await;
    let network = Proxy::of(&world.service(0).url("")).await;
    network.set_times(Calls::Post, 1, Act::LoseAnswer);
    let client = Client::of(&world, "quick").await;
    let lost = client
        .ask(&format!("{}/api/v1/builds", network.url()), "one")
        .await;
    assert!(lost.is_err(), "{lost:?}");
    let again = client.ask(&client.addresses[1], "one").await.expect("it answers");
    assert_eq!(again.status(), 200);
    let first = id(again).await;
    let third = client.ask(&client.addresses[0], "one").await.expect("it answers");
    assert_eq!(id(third).await, first);
    world.accepted.push(first);
    let builds: i64 = sqlx::query_scalar("SELECT count(*) FROM builds")
        .fetch_one(&world.sql)
        .await
        .expect("it answers");
    assert_eq!(builds, 1);
    world.hold().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_session_that_is_half_open_delays_builds_by_the_poll_and_no_more() {
    let mut world = World::new(2).await;
    let server: url::Url = world.postgres.url().parse().expect("a URL");
    let wire = Wire::to(server.port().expect("it names a port")).await;
    let mut direct = server.clone();
    direct.set_port(Some(wire.port())).expect("it may have a port");
    let dispatcher = &mut world.replicas[0].service;
    dispatcher.set("SLIPWAY_DATABASE_DIRECT_URL", direct.as_str());
    world.replicas[1].service.set("SLIPWAY_ROLE", "api");
    world.up().await;
    let first = world.create(1, "quick").await;
    world.ended(1, first).await;
    // What goes straight to the database is dead, and nobody is told: notifications, and the observer's role.
    wire.die();
    let second = world.create(1, "quick").await;
    world.until_state(second, Running).await;
    let waited = until_claimed(&world, second).await;
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    wire.revive();
    world.until_state(second, Succeeded).await;
    world.hold().await;
    world.close().await;
}

/// How long the build lay in the queue, by the database's clock: what came after is the cluster's.
async fn until_claimed(world: &World, id: BuildId) -> Duration {
    let seconds: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM max(at) - min(at))::float8 FROM build_events
        WHERE build_id = $1 AND state IN ('queued', 'launching')",
    )
    .bind(id.0)
    .fetch_one(&world.sql)
    .await
    .expect("it answers");
    Duration::from_secs_f64(seconds)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn replicas_that_migrate_at_once_wait_for_each_other() {
    let mut world = World::new(3).await;
    world.up().await;
    let (good, bad) = (world.create(0, "quick").await, world.create(2, "fails").await);
    world.until_state(good, Succeeded).await;
    world.until_state(bad, Failed).await;
    let applied: (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&world.sql)
            .await
            .expect("it answers");
    assert_eq!(applied.0, applied.1);
    world.hold().await;
    world.close().await;
}
