//! What a push leads to: builds, by which rules, or nothing, and why.

use http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{COMMIT, NONE, SECRET, builds, deliver, deliver_event, deliveries, github_push, send};
use crate::{
    api::harness::Harness,
    api::triggers::{TRIGGERS, make, wanted},
};

#[sqlx::test(migrations = false)]
async fn a_push_makes_a_build_that_names_what_it_came_of(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &trigger, SECRET, "d-1", &push).await;
    assert_eq!(delivered.status, StatusCode::OK, "{}", delivered.text());
    let delivered = delivered.json();
    assert_eq!(delivered["verdict"], "built");
    let build = delivered["builds"][0].as_str().unwrap();
    let read = service.get(&format!("/api/v1/builds/{build}")).await.json();
    assert_eq!(read["project"], "team");
    assert_eq!(
        read["spec"]["source"]["git"],
        json!({"url": "https://git.example/team/app.git", "ref": "refs/heads/main", "commit": COMMIT})
    );
    assert_eq!(read["spec"]["build_args"]["COMMIT_MSG"], "Mend it");
    assert_eq!(
        read["triggered_by"],
        json!({"trigger_id": trigger, "rule": "main", "delivery_id": delivered["delivery_id"]})
    );

    let other = make(&service, &wanted()).await;
    let of =
        async |id: &str| service.get(&format!("/api/v1/builds?trigger={id}")).await.json()["builds"].clone();
    assert_eq!(of(&trigger).await[0]["id"], build);
    assert_eq!(of(&other).await, json!([]));

    let id = delivered["delivery_id"].as_str().unwrap();
    let whole = service.get(&format!("/api/v1/deliveries/{id}")).await.json();
    assert_eq!(
        (&whole["host_id"], &whole["event"]),
        (&json!("d-1"), &json!("push"))
    );
    assert_eq!(whole["body"], push.to_string());
    assert_eq!(whole["headers"]["x-github-event"], "push");
    assert!(!whole.to_string().contains("sha256="), "{whole}");
    assert_eq!(
        whole["consequences"][0]["destinations"],
        json!(["registry.example/team/app:latest"])
    );
}

#[sqlx::test(migrations = false)]
async fn what_leads_to_nothing_is_taken_and_recorded_with_its_reason(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let mut skips = github_push("refs/heads/main", COMMIT);
    skips["head_commit"]["message"] = json!("Mend it [skip build]");
    for (event, body, why) in [
        ("ping", json!({"zen": "Keep it simple."}), "tries the address"),
        ("star", json!({"action": "created"}), "\"star\""),
        ("push", github_push("refs/heads/main", NONE), "deleted"),
        (
            "push",
            github_push("refs/heads/dev", COMMIT),
            "no rule matches the branch dev",
        ),
        (
            "push",
            github_push("refs/pull/1/head", COMMIT),
            "neither a branch nor a tag",
        ),
        ("push", skips, "[skip build]"),
    ] {
        let taken = deliver_event(&service, &trigger, SECRET, event, why, &body).await;
        assert_eq!(taken.status, StatusCode::OK, "{why}: {}", taken.text());
        assert_eq!(taken.json()["verdict"], "skipped", "{why}");
        let recorded = &deliveries(&service, &trigger).await[0];
        assert_eq!(recorded["id"], taken.json()["delivery_id"]);
        let reason = recorded["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{why}: {reason}");
    }
    assert!(builds(&service).await.is_empty());
}

#[sqlx::test(migrations = false)]
async fn one_push_may_match_several_rules(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut body = wanted();
    let mut second = body["rules"][0].clone();
    second["name"] = json!("by name");
    second["source"] = json!("/.*/");
    second["tags"] = json!(["{sourceref}"]);
    let mut broken = second.clone();
    broken["name"] = json!("broken");
    broken["tags"] = json!(["{\\1}"]);
    body["rules"].as_array_mut().unwrap().extend([second, broken]);
    let trigger = make(&service, &body).await;
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(delivered["builds"].as_array().unwrap().len(), 2, "{delivered}");
    let consequences = deliveries(&service, &trigger).await[0]["consequences"].clone();
    let broken = &consequences[2];
    assert_eq!(
        (&broken["rule"], &broken["build_id"]),
        (&json!("broken"), &Value::Null)
    );
    assert!(broken["reason"].as_str().unwrap().contains("{\\1}"), "{broken}");
}

#[sqlx::test(migrations = false)]
async fn a_replay_goes_by_the_rules_as_they_are_now(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let trigger = make(&service, &wanted()).await;
    let push = github_push("refs/heads/dev", COMMIT);
    let skipped = deliver(&service, &trigger, SECRET, "d-1", &push).await.json();
    assert_eq!(skipped["verdict"], "skipped");
    let mut rules = wanted()["rules"].clone();
    rules[0]["source"] = json!("dev");
    service
        .patch(&format!("{TRIGGERS}/{trigger}"), &json!({"rules": rules}))
        .await;
    let replay = format!(
        "/api/v1/deliveries/{}/replay",
        skipped["delivery_id"].as_str().unwrap()
    );
    let mut verdicts = Vec::new();
    for body in [json!({}), json!({}), json!({"again": true})] {
        verdicts.push(service.post(&replay, &body).await.json()["verdict"].clone());
    }
    assert_eq!(verdicts, ["built", "duplicate", "built"]);
    assert_eq!(builds(&service).await.len(), 2);
}

#[sqlx::test(migrations = false)]
async fn a_newer_push_takes_the_place_of_an_older_one_that_waits(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let mut body = wanted();
    body["rules"][0]["supersede"] = json!("queued");
    body["rules"][0]["source"] = json!("/.*/");
    let trigger = make(&service, &body).await;
    let commit = |n: u8| format!("{n}{}", &COMMIT[1..]);
    let push = async |n: u8, full: &str| {
        let push = github_push(full, &commit(n));
        let id = rand::random::<u64>().to_string();
        let made = deliver(&service, &trigger, SECRET, &id, &push).await.json();
        made["builds"][0].as_str().unwrap().to_owned()
    };
    let first = push(1, "refs/heads/main").await;
    let other = push(1, "refs/heads/other").await;
    let second = push(2, "refs/heads/main").await;
    let state = async |id: &str| service.get(&format!("/api/v1/builds/{id}")).await.json();
    let old = state(&first).await;
    assert_eq!(
        (&old["state"], &old["superseded_by"]),
        (&json!("superseded"), &json!(second))
    );
    assert_eq!(
        state(&other).await["state"],
        "queued",
        "another ref is another group"
    );
    assert_eq!(state(&second).await["state"], "queued");
    // What was superseded was not built, and may be delivered again.
    assert_ne!(push(1, "refs/heads/main").await, first);
}

#[sqlx::test(migrations = false)]
async fn docker_hubs_callers_can_be_pointed_here(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut body = wanted();
    body["provider"] = json!("dockerhub");
    body["secret"] = json!("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0");
    let made = service.post(TRIGGERS, &body).await.json();
    let path = made["trigger_path"].as_str().unwrap();
    let call = async |path: &str, body: &'static str| send(&service, path, &[], body).await;
    let json = async |path: &str, body: &'static str| {
        let answer = call(path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    };
    // An empty body builds every rule that names one ref; no commit is known, so that each call counts.
    for _ in 0..2 {
        let all = json(path, "").await;
        assert_eq!(
            (&all["verdict"], all["builds"].as_array().unwrap().len()),
            (&json!("built"), 1)
        );
    }
    let slashless = path.trim_end_matches('/');
    let tag = json(slashless, r#"{"source_type": "Tag", "source_name": "v1.2"}"#).await;
    assert_eq!(tag["verdict"], "built");
    assert_eq!(
        json(path, r#"{"docker_tag": "latest"}"#).await["verdict"],
        "built"
    );
    assert_eq!(
        json(path, r#"{"docker_tag": "other"}"#).await["verdict"],
        "skipped"
    );

    let wrong = path.replace("0b1c2d3e", "1b1c2d3e");
    call(&wrong, "").await.is_problem(401, "unauthorized");
    // Where a provider signs, a secret in the address proves nothing; and there, nothing else does.
    let id = make(&service, &wanted()).await;
    call(&format!("/hooks/{id}/trigger/{SECRET}/call/"), "{}")
        .await
        .is_problem(401, "unauthorized");
    let bare = made["hook_path"].as_str().unwrap();
    call(bare, "").await.is_problem(401, "unauthorized");
    let whole = deliveries(&service, made["id"].as_str().unwrap()).await;
    assert!(!json!(whole).to_string().contains("0b1c2d3e"));
}
