//! Deliveries that are not taken: not believed, not wanted, too large, too many, or at a bad time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use slipway::api::ApiOptions;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{COMMIT, SECRET, builds, deliver, deliveries, github_push, hex_hmac, send};
use crate::{
    api::harness::{Harness, address},
    api::triggers::{TRIGGERS, make, wanted},
};

#[sqlx::test(migrations = false)]
async fn what_is_not_signed_is_refused_and_kept_without_its_body(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let body = github_push("refs/heads/main", COMMIT).to_string();
    let good = format!("sha256={}", hex_hmac(SECRET, body.as_bytes()));
    let wrong = format!("sha256={}", hex_hmac("another secret", body.as_bytes()));
    let name = "x-hub-signature-256";
    let cases: [&[(&str, &str)]; 8] = [
        &[],
        &[(name, "")],
        &[(name, &wrong)],
        &[(name, &good[7..])],
        &[(name, "sha256=zz")],
        &[(name, &good[..20])],
        &[(name, &good), (name, &good)],
        // The verifier is the trigger's, whatever the headers say.
        &[("x-gitea-signature", &good[7..]), ("x-gitlab-token", SECRET)],
    ];
    for (n, proof) in cases.into_iter().enumerate() {
        let headers = [&[("x-github-event", "push"), ("x-github-delivery", "d-1")], proof].concat();
        let refused = send(&service, &format!("/hooks/{trigger}"), &headers, body.clone()).await;
        refused.is_problem(401, "unauthorized");
        let listed = deliveries(&service, &trigger).await;
        assert_eq!(listed.len(), n + 1);
        assert_eq!(listed[0]["verdict"], "refused");
        let id = listed[0]["id"].as_str().unwrap();
        let whole = service.get(&format!("/api/v1/deliveries/{id}")).await;
        assert_eq!(whole.json()["body"], Value::Null);
        assert!(!whole.text().contains(SECRET) && !whole.text().contains(&good[7..]));
        service
            .post(&format!("/api/v1/deliveries/{id}/replay"), &json!({}))
            .await
            .is_problem(409, "not_replayable");
    }
    assert!(builds(&service).await.is_empty());
    // What was refused has not taken the id of the genuine one.
    let push = github_push("refs/heads/main", COMMIT);
    let genuine = deliver(&service, &trigger, SECRET, "d-1", &push).await;
    assert_eq!(genuine.json()["verdict"], "built");
}

#[sqlx::test(migrations = false)]
async fn a_trigger_without_a_secret_believes_nobody(pools: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let pool: PgPool = pools.connect_with(database.clone()).await.unwrap();
    let copied = make(&service, &wanted()).await;
    // A secret that was copied from another trigger's row is none.
    sqlx::query(
        "UPDATE trigger_secrets SET sealed = (SELECT sealed FROM trigger_secrets WHERE trigger_id = $1::uuid)
        WHERE trigger_id = $2::uuid",
    )
    .bind(&trigger)
    .bind(&copied)
    .execute(&pool)
    .await
    .unwrap();
    let push = github_push("refs/heads/main", COMMIT);
    deliver(&service, &copied, SECRET, "d-1", &push)
        .await
        .is_problem(401, "unauthorized");
    sqlx::query("DELETE FROM trigger_secrets")
        .execute(&pool)
        .await
        .unwrap();
    for secret in [SECRET, ""] {
        deliver(&service, &trigger, secret, "d-1", &push)
            .await
            .is_problem(401, "unauthorized");
    }
    assert!(builds(&service).await.is_empty());
}

#[sqlx::test(migrations = false)]
async fn a_trigger_that_is_off_and_another_repository_are_refused(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    let mut other = push.clone();
    other["repository"]["full_name"] = json!("team/other");
    let problem = deliver(&service, &trigger, SECRET, "d-1", &other)
        .await
        .is_problem(422, "validation_failed");
    assert!(
        problem["detail"].as_str().unwrap().contains("team/other"),
        "{problem}"
    );
    let broken = deliver(&service, &trigger, SECRET, "d-2", &json!({"ref": 1})).await;
    broken.is_problem(422, "validation_failed");

    let path = format!("{TRIGGERS}/{trigger}");
    service.patch(&path, &json!({"enabled": false})).await;
    deliver(&service, &trigger, SECRET, "d-3", &push)
        .await
        .is_problem(409, "trigger_disabled");
    let kept = deliveries(&service, &trigger).await[0].clone();
    assert_eq!(
        (&kept["verdict"], &kept["reason"]),
        (&json!("refused"), &json!("the trigger is off"))
    );
    // It was believed, so that it can be replayed when the trigger is on again.
    service.patch(&path, &json!({"enabled": true})).await;
    let replay = format!("/api/v1/deliveries/{}/replay", kept["id"].as_str().unwrap());
    let replayed = service.post(&replay, &json!({})).await.json();
    assert_eq!(
        (&replayed["verdict"], &replayed["replay_of"]),
        (&json!("built"), &kept["id"])
    );
}

#[sqlx::test(migrations = false)]
async fn a_body_is_cut_off_at_the_cap(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_delivery_size: 64 << 10,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let trigger = make(&service, &wanted()).await;
    let path = format!("/hooks/{trigger}");
    let announced = [("x-github-event", "push"), ("content-length", "1073741824")];
    send(&service, &path, &announced, Body::empty())
        .await
        .is_problem(413, "body_too_large");
    // Without an announced length, and without an end: what is beyond the cap is not asked for.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])));
    let sent = send(
        &service,
        &path,
        &[("x-github-event", "push")],
        Body::from_stream(endless),
    );
    tokio::time::timeout(Duration::from_secs(10), sent)
        .await
        .expect("it is not read to the end")
        .is_problem(413, "body_too_large");
    let listed = deliveries(&service, &trigger).await;
    assert_eq!((listed.len(), &listed[0]["verdict"]), (2, &json!("refused")));
}

#[sqlx::test(migrations = false)]
async fn a_trigger_takes_so_many_deliveries_a_minute(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        deliveries_per_minute: 3,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let (trigger, other) = (make(&service, &wanted()).await, make(&service, &wanted()).await);
    let push = github_push("refs/heads/main", COMMIT);
    for n in 0..3 {
        let taken = deliver(&service, &trigger, SECRET, &n.to_string(), &push).await;
        assert_eq!(taken.status, StatusCode::OK);
    }
    let refused = deliver(&service, &trigger, SECRET, "more", &push).await;
    refused.is_problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        deliver(&service, &other, SECRET, "1", &push).await.status,
        StatusCode::OK
    );
}

#[sqlx::test(migrations = false)]
async fn an_outage_leaves_nothing_half(pools: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let pool: PgPool = pools.connect_with(database).await.unwrap();
    // The last write of the transaction fails as if the server went away in the middle of it.
    for statement in [
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '57P01'; END $$",
        "CREATE TRIGGER gone BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION gone()",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let push = github_push("refs/heads/main", COMMIT);
    deliver(&service, &trigger, SECRET, "d-1", &push)
        .await
        .is_problem(503, "database_unavailable");
    assert!(builds(&service).await.is_empty());
    sqlx::query("DROP TRIGGER gone ON deliveries")
        .execute(&pool)
        .await
        .unwrap();
    let again = deliver(&service, &trigger, SECRET, "d-1", &push).await;
    assert_eq!(again.json()["verdict"], "built", "the host sends it again");
}

#[sqlx::test(migrations = false)]
async fn a_full_project_takes_a_delivery_later(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut body = wanted();
    let mut second = body["rules"][0].clone();
    second["name"] = json!("second");
    second["tags"] = json!(["second"]);
    body["rules"].as_array_mut().unwrap().push(second);
    let trigger = make(&service, &body).await;
    let pool = PgPool::connect_with(database).await.unwrap();
    let limit = async |max: i32| {
        sqlx::query("UPDATE projects SET max_queued = $1")
            .bind(max)
            .execute(&pool)
            .await
            .unwrap();
    };
    limit(1).await;
    let push = github_push("refs/heads/main", COMMIT);
    // There is room for one of two: neither is made.
    let full = deliver(&service, &trigger, SECRET, "d-1", &push).await;
    full.is_problem(429, "quota_exceeded");
    assert!(full.header("retry-after").is_some());
    assert!(builds(&service).await.is_empty());
    let kept = deliveries(&service, &trigger).await;
    assert_eq!((kept.len(), &kept[0]["verdict"]), (1, &json!("refused")));
    assert!(
        kept[0]["reason"]
            .as_str()
            .unwrap()
            .contains("as many builds as it may have")
    );
    limit(2).await;
    let again = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(
        (&again["verdict"], builds(&service).await.len()),
        (&json!("built"), 2)
    );
}
