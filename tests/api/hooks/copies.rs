//! Deliveries that came before.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use slipway::{api::ApiOptions, domain::Outcome, retention::Options};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{COMMIT, SECRET, builds, deliver, deliveries, github_push};
use crate::{
    api::harness::{Harness, address},
    api::retention::{KEEP, sweep},
    api::triggers::{make, wanted},
};

#[sqlx::test(migrations = false)]
async fn a_hundred_copies_on_three_replicas_make_one_build(_: PgPoolOptions, database: PgConnectOptions) {
    let first = Harness::new(&database).await;
    let trigger = make(&first, &wanted()).await;
    let again = || Harness::unmigrated(&address(&database), ApiOptions::default());
    let replicas = [first, again(), again()];
    // Half of them with the same id, half with ids of their own, as whoever captured one would send it.
    let push = github_push("refs/heads/main", COMMIT);
    let ids: Vec<String> = (0..100)
        .map(|n| {
            if n % 2 == 0 {
                "same".to_owned()
            } else {
                format!("own-{n}")
            }
        })
        .collect();
    let copies = ids.iter().enumerate().map(async |(n, id)| {
        // A 503, on a busy machine, means that nothing happened: it is sent again.
        for _ in 0..50 {
            let answer = deliver(&replicas[n % 3], &trigger, SECRET, id, &push).await;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                return answer.json();
            }
        }
        panic!("the service does not come to itself")
    });
    let answers: Vec<Value> = join_all(copies).await;
    let verdicts = |wanted: &str| answers.iter().filter(|one| one["verdict"] == wanted).count();
    assert_eq!((verdicts("built"), verdicts("duplicate")), (1, 99));
    assert_eq!(builds(&replicas[0]).await.len(), 1);
    assert_eq!(deliveries(&replicas[1], &trigger).await.len(), 100);
}

#[sqlx::test(migrations = false)]
async fn what_came_before_is_a_duplicate_as_long_as_it_may_succeed(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    let made = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    let same_id = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(same_id["verdict"], "duplicate");
    let listed = deliveries(&service, &trigger).await;
    assert_eq!(listed[0]["duplicate_of"], made["delivery_id"]);
    let new_id = deliver(&service, &trigger, SECRET, "d-2", &push).await.json();
    assert_eq!(
        (&new_id["verdict"], &new_id["builds"]),
        (&json!("duplicate"), &made["builds"])
    );
    // Another ref or commit is another matter.
    let other = "1123456789abcdef0123456789abcdef01234567";
    let next = deliver(
        &service,
        &trigger,
        SECRET,
        "d-3",
        &github_push("refs/heads/main", other),
    )
    .await;
    assert_eq!(next.json()["verdict"], "built");
    let tag = deliver(
        &service,
        &trigger,
        SECRET,
        "d-4",
        &github_push("refs/tags/v1.0", COMMIT),
    )
    .await;
    assert_eq!(tag.json()["verdict"], "built");

    let build = made["builds"][0].as_str().unwrap().parse().unwrap();
    service.launch(build).await;
    let ended = Outcome::Succeeded { digest: None };
    assert!(service.store.finish(build, &ended, &[], 0).await.unwrap());
    let after = deliver(&service, &trigger, SECRET, "d-5", &push).await.json();
    assert_eq!(after["verdict"], "duplicate", "it has succeeded");
}

#[sqlx::test(migrations = false)]
async fn what_was_cancelled_may_be_delivered_anew(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    let made = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    let build = made["builds"][0].as_str().unwrap();
    service
        .post(&format!("/api/v1/builds/{build}/cancel"), &json!({}))
        .await;
    let again = deliver(&service, &trigger, SECRET, "d-2", &push).await.json();
    assert_eq!(again["verdict"], "built");
    assert_ne!(again["builds"], made["builds"]);
}

#[sqlx::test(migrations = false)]
async fn deliveries_are_removed_after_their_time_and_builds_stay(
    pools: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    deliver(&service, &trigger, SECRET, "d-1", &push).await;
    let month = Options {
        deliveries: Some(Duration::from_secs(30 * 86_400)),
        ..KEEP
    };
    assert_eq!(sweep(&service, month.clone()).await.deliveries, 0);
    let pool: PgPool = pools.connect_with(database).await.unwrap();
    // Ids stay young, so they are made to count as old.
    for statement in [
        "UPDATE deliveries SET received_at = now() - interval '31 d'",
        "CREATE OR REPLACE FUNCTION first_id_at(at timestamptz) RETURNS uuid LANGUAGE sql STABLE
            RETURN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let swept = sweep(&service, month).await;
    assert_eq!((swept.deliveries, swept.failed), (1, 0));
    assert!(deliveries(&service, &trigger).await.is_empty());
    let build = &builds(&service).await[0];
    assert_eq!(build["triggered_by"]["trigger_id"], trigger);
    // The commit is known by its build.
    let again = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(again["verdict"], "duplicate");
}
