//! What git hosts deliver, and what comes of it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway::{api::ApiOptions, domain::Outcome, retention::Options};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    harness::{Answer, Harness, address, request},
    retention::{KEEP, sweep},
    triggers::{TRIGGERS, make, wanted},
};

pub const SECRET: &str = "It's-a-Secret-to-Everybody";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NONE: &str = "0000000000000000000000000000000000000000";

/// What GitHub sends of a push, as far as it is read.
pub fn github_push(full: &str, after: &str) -> Value {
    json!({
        "ref": full, "before": NONE, "after": after, "deleted": after == NONE,
        "head_commit": (after != NONE).then(|| json!({"id": after, "message": "Mend it"})),
        "repository": {"full_name": "team/app", "clone_url": "https://git.example/team/app.git"},
    })
}

pub fn hex_hmac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Sends bytes to an address as they are.
async fn send(service: &Harness, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = request(Method::POST, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(request.body(body.into()).unwrap()).await
}

/// Delivers as GitHub does, signed.
async fn deliver_event(
    service: &Harness,
    trigger: &str,
    secret: &str,
    event: &str,
    delivery: &str,
    body: &Value,
) -> Answer {
    let body = body.to_string();
    let signature = format!("sha256={}", hex_hmac(secret, body.as_bytes()));
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", event),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", &signature),
    ];
    send(service, &format!("/hooks/{trigger}"), &headers, body).await
}

/// Delivers a push as GitHub does, signed.
pub async fn deliver(service: &Harness, trigger: &str, secret: &str, delivery: &str, body: &Value) -> Answer {
    deliver_event(service, trigger, secret, "push", delivery, body).await
}

async fn deliveries(service: &Harness, trigger: &str) -> Vec<Value> {
    let listed = service
        .get(&format!("{TRIGGERS}/{trigger}/deliveries?limit=100"))
        .await;
    listed.json()["deliveries"].as_array().unwrap().clone()
}

async fn builds(service: &Harness) -> Vec<Value> {
    let listed = service.get("/api/v1/builds?limit=100").await;
    listed.json()["builds"].as_array().unwrap().clone()
}

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
