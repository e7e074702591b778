//! Limits of what a project may ask for, and builds that take each other's place.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use slipway::{domain::BuildId, store::Slots};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::api::harness::{Harness, wanted};

async fn limits(
    database: &PgConnectOptions,
    project: &str,
    max_queued: Option<i32>,
    max_per_hour: Option<i32>,
) {
    let pool = PgPool::connect_with(database.clone()).await.expect("it answers");
    sqlx::query("INSERT INTO projects (name, max_queued, max_per_hour) VALUES ($1, $2, $3)")
        .bind(project)
        .bind(max_queued)
        .bind(max_per_hour)
        .execute(&pool)
        .await
        .expect("it is stored");
}

fn of(project: &str) -> Value {
    let mut request = wanted();
    request["project"] = json!(project);
    request
}

#[sqlx::test(migrations = false)]
async fn a_full_project_is_told_which_limit_it_reached(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    limits(&database, "small", Some(1), None).await;
    limits(&database, "slow", None, Some(1)).await;
    let first = service.create(&of("small")).await;
    service.create(&of("slow")).await;

    let full = service.post("/api/v1/builds", &of("small")).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS, "{full:?}");
    let seconds: u64 = full.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds));
    let body = full.json();
    assert_eq!(body["code"], "quota_exceeded");
    assert_eq!(
        body["quota"],
        json!({"project": "small", "limit": "max_queued", "max": 1, "used": 1, "frees_at": null})
    );
    let rebuild = service
        .post(&format!("/api/v1/builds/{first}/rebuild"), &Value::Null)
        .await;
    assert_eq!(
        rebuild.status,
        StatusCode::TOO_MANY_REQUESTS,
        "a rebuild counts, too"
    );

    let full = service.post("/api/v1/builds", &of("slow")).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = full.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    let body = full.json();
    assert_eq!(
        (&body["quota"]["limit"], &body["quota"]["used"]),
        (&json!("max_per_hour"), &json!(1))
    );
    assert!(body["quota"]["frees_at"].is_string(), "{body}");

    let queue = service.get("/api/v1/queue?project=slow").await.json();
    let shown = &queue["projects"][0];
    assert_eq!(
        (&shown["max_queued"], &shown["max_per_hour"], &shown["last_hour"]),
        (&Value::Null, &json!(1), &json!(1))
    );
}

#[sqlx::test(migrations = false)]
async fn fault_25_a_flood_is_accepted_up_to_the_quota_and_refused_beyond(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    limits(&database, "flood", Some(10), None).await;
    let request = of("flood");
    let (mut accepted, mut refused) = (0, Vec::new());
    for _ in 0..30 {
        let answer = service.post("/api/v1/builds", &request).await;
        match answer.status {
            StatusCode::CREATED => accepted += 1,
            _ => refused.push(answer),
        }
    }
    assert_eq!((accepted, refused.len()), (10, 20));
    for answer in refused {
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let body = answer.is_problem(429, "quota_exceeded");
        assert_eq!(
            (&body["quota"]["max"], &body["quota"]["used"]),
            (&json!(10), &json!(10))
        );
    }
    let queue = service.get("/api/v1/queue?project=flood").await.json();
    assert_eq!(queue["projects"][0]["queued"], 10);
    service.create(&of("others")).await;

    // What is dispatched makes room for as many again.
    let slots = Slots {
        total: 5,
        per_project: 5,
    };
    let claims = service.store.claim(slots, Duration::from_secs(60), 5).await;
    let of_the_flood = claims
        .expect("claims work")
        .iter()
        .filter(|claim| claim.spec.project.as_str() == "flood")
        .count();
    assert_eq!(of_the_flood, 4, "the others get their turn");
    for _ in 0..4 {
        service.create(&request).await;
    }
    let full = service.post("/api/v1/builds", &request).await;
    full.is_problem(429, "quota_exceeded");
}

#[sqlx::test(migrations = false)]
async fn the_newest_of_a_group_takes_the_place_of_the_older_ones(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let mut request = wanted();
    request["concurrency"] = json!({"group": "app/main"});
    let old = service.create(&request).await;
    let new = service.create(&request).await;
    let show = async |id: BuildId| service.get(&format!("/api/v1/builds/{id}")).await.json();
    let (old, new) = (show(old).await, show(new).await);
    assert_eq!(
        (&old["state"], &old["superseded_by"]),
        (&json!("superseded"), &new["id"])
    );
    assert_eq!(
        (&new["state"], &new["superseded_by"]),
        (&json!("queued"), &Value::Null)
    );
    assert_eq!(
        new["spec"]["concurrency"],
        json!({"group": "app/main", "supersede": "queued"})
    );
    let id = old["id"].as_str().unwrap();
    let events = service.get(&format!("/api/v1/builds/{id}/events")).await.json();
    assert_eq!(events["events"][1]["cause"], "superseded");
    let message = events["events"][1]["message"].as_str().unwrap();
    assert!(message.contains(new["id"].as_str().unwrap()), "{message}");

    for bad in [
        json!({}),
        json!({"group": ""}),
        json!({"group": "a", "supersede": "all"}),
    ] {
        request["concurrency"] = bad;
        let refused = service.post("/api/v1/builds", &request).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    }
}
