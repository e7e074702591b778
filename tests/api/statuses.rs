//! Commits that bear the status of what triggers build of them.

use http::StatusCode;
use serde_json::{Value, json};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    api::harness::{Answer, Harness},
    api::hooks::{COMMIT, SECRET, deliver, github_push},
    api::triggers::{TRIGGERS, make, wanted},
};

const TOKEN: &str = "ghp_status-token-of-the-team";

fn with_status(status: &Value) -> Value {
    let mut body = wanted();
    body["commit_status"] = status.clone();
    body
}

async fn patch(service: &Harness, trigger: &str, status: &Value) -> Answer {
    let body = json!({ "commit_status": status });
    service.patch(&format!("{TRIGGERS}/{trigger}"), &body).await
}

/// Where each build's status is shown: the API's base, the repository, the commit, the name, and whose token is taken.
async fn targets(pool: &PgPool, build: &str) -> Vec<(String, String, String, String, String)> {
    sqlx::query_as(
        "SELECT api_url, repository, commit_id, context, trigger_id::text FROM commit_statuses
        WHERE build_id = $1::uuid",
    )
    .bind(build)
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn told(pool: &PgPool, build: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT type FROM notifications WHERE build_id = $1::uuid AND endpoint_id IS NULL ORDER BY id",
    )
    .bind(build)
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = false)]
async fn builds_of_a_push_are_shown_at_its_commit_from_their_first_state_on(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = PgPool::connect_with(database).await.unwrap();
    let trigger = make(&service, &with_status(&json!({"enabled": true, "token": TOKEN}))).await;
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    let build = delivered["builds"][0].as_str().unwrap();
    let target = (
        "https://git.example/api/v3".to_owned(),
        "team/app".to_owned(),
        COMMIT.to_owned(),
        "slipway/team/main".to_owned(),
        trigger,
    );
    assert_eq!(targets(&pool, build).await, std::slice::from_ref(&target));
    assert_eq!(told(&pool, build).await, ["build.queued"]);

    // What is built once more replaces the status.
    let again = service
        .post(&format!("/api/v1/builds/{build}/rebuild"), &json!({}))
        .await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
    let again = again.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(targets(&pool, &again).await, [target]);
    assert_eq!(told(&pool, &again).await, ["build.queued"]);
}

#[sqlx::test(migrations = false)]
async fn nobody_is_told_where_it_is_off_or_no_commit_is_known(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pool = PgPool::connect_with(database).await.unwrap();
    let trigger = make(&service, &with_status(&json!({"enabled": true}))).await;
    let path = format!("{TRIGGERS}/{trigger}/builds");
    let tip = json!({"ref_type": "branch", "ref_name": "main"});
    let made = service.post(&path, &tip).await.json();
    assert_eq!(
        told(&pool, made["consequences"][0]["build_id"].as_str().unwrap()).await,
        [""; 0]
    );

    let off = patch(&service, &trigger, &json!({"enabled": false})).await;
    assert_eq!(
        off.json()["commit_status"],
        json!({"enabled": false, "api_url": null, "own_token": false})
    );
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(
        told(&pool, delivered["builds"][0].as_str().unwrap()).await,
        [""; 0]
    );
}

#[sqlx::test(migrations = false)]
async fn a_trigger_s_token_is_never_shown_and_goes_nowhere_else(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = PgPool::connect_with(database).await.unwrap();
    let made = service
        .post(TRIGGERS, &with_status(&json!({"enabled": true, "token": TOKEN})))
        .await;
    let shown = json!({"enabled": true, "api_url": "https://git.example/api/v3", "own_token": true});
    assert_eq!(made.json()["commit_status"], shown, "{}", made.text());
    let trigger = made.json()["id"].as_str().unwrap().to_owned();

    // Its token does not follow to another host, unless it is named again.
    let elsewhere = json!({"enabled": true, "api_url": "https://other.example/api/v3"});
    let moved = patch(&service, &trigger, &elsewhere).await;
    assert_eq!(
        moved.json()["commit_status"]["own_token"],
        false,
        "{}",
        moved.text()
    );
    let back = patch(&service, &trigger, &json!({"enabled": true, "token": TOKEN})).await;
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &trigger, SECRET, "d-1", &push).await;

    let read = service.get(&format!("{TRIGGERS}/{trigger}")).await;
    let audit = service.get("/api/v1/audit").await;
    for answer in [&made, &moved, &back, &delivered, &read, &audit] {
        assert!(!answer.text().contains(TOKEN), "{}", answer.text());
    }
    assert!(audit.text().contains("own_token"), "{}", audit.text());
    let kept: String = sqlx::query_scalar(
        "SELECT concat((SELECT string_agg(t::text, '') FROM triggers t),
            (SELECT string_agg(c::text, '') FROM commit_statuses c), (SELECT string_agg(a::text, '') FROM audit a))",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(kept.contains("https://git.example/api/v3"));
    assert!(!kept.contains(TOKEN) && !kept.contains(&hex::encode(TOKEN)));
}

#[sqlx::test(migrations = false)]
async fn what_cannot_be_told_is_refused_by_its_field(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let on = json!({"enabled": true});
    let mut generic = with_status(&on);
    generic["provider"] = json!("generic");
    let inside = with_status(&json!({"enabled": true, "api_url": "http://169.254.169.254/api/v3"}));
    let odd = with_status(&json!({"enabled": true, "api_url": "file:///etc/passwd"}));
    for (body, field) in [
        (generic, "commit_status"),
        (inside, "commit_status.api_url"),
        (odd, "commit_status.api_url"),
    ] {
        let refused = service.post(TRIGGERS, &body).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            refused.text()
        );
        assert_eq!(refused.json()["errors"][0]["field"], field, "{}", refused.text());
    }
}
