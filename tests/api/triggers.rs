//! Triggers: made, changed, tried, and their secrets.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway::domain::Scope;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    api::harness::{Answer, Harness, request},
    api::hooks::{self, COMMIT, deliver, github_push},
    api::tenancy::Key,
};

pub const TRIGGERS: &str = "/api/v1/triggers";

/// A trigger that builds branch `main`, and tags of versions.
pub fn wanted() -> Value {
    json!({
        "project": "team",
        "provider": "github",
        "repository": "team/app",
        "clone_url": "https://git.example/team/app.git",
        "secret": hooks::SECRET,
        "rules": [
            {"name": "main", "source_type": "branch", "source": "main", "tags": ["latest"],
                "repositories": ["registry.example/team/app"]},
            {"name": "versions", "source_type": "tag", "source": r"/v(\d+)\.(\d+)/", "tags": [r"{\1}", r"{\1}.{\2}"],
                "repositories": ["registry.example/team/app"], "priority": 5},
        ],
    })
}

/// Makes it and answers its id.
pub async fn make(service: &Harness, body: &Value) -> String {
    let made = service.post(TRIGGERS, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

/// Makes the projects `team` and `other`, and answers who made them.
async fn projects(service: &Harness) -> Key {
    let admin = Key::make(service, None, &[Scope::Admin]).await;
    for name in ["team", "other"] {
        let made = admin
            .post(service, "/api/v1/projects", &json!({"name": name}))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    }
    admin
}

fn path(id: &str) -> String {
    format!("{TRIGGERS}/{id}")
}

#[sqlx::test(migrations = false)]
async fn a_secret_is_made_and_shown_once(pools: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut body = wanted();
    body.as_object_mut().unwrap().remove("secret");
    let made = service.post(TRIGGERS, &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(secret.len() >= 43, "256 bits: {}", secret.len());
    assert_eq!(made["hook_path"], format!("/hooks/{id}"));
    assert_eq!(made["trigger_path"], Value::Null);

    let read = service.get(&path(id)).await;
    assert_eq!(read.status, StatusCode::OK);
    let listed = service.get(&format!("{TRIGGERS}?project=team")).await;
    assert_eq!(listed.json()["triggers"], json!([read.json()]));
    for answer in [&read, &listed] {
        assert!(!answer.text().contains(secret) && !answer.text().contains("\"secret\""));
    }
    let pool: PgPool = pools.connect_with(database).await.unwrap();
    let dump: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM trigger_secrets")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(!dump.windows(secret.len()).any(|part| part == secret.as_bytes()));
    // It is what deliveries are verified with.
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, id, secret, "d-1", &push).await;
    assert_eq!(delivered.json()["verdict"], "built", "{}", delivered.text());
}

#[sqlx::test(migrations = false)]
async fn without_a_key_no_secret_is_kept(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::without_key(&database).await;
    let refused = service.post(TRIGGERS, &wanted()).await;
    let problem = refused.is_problem(501, "secret_key_missing");
    assert!(
        problem["detail"].as_str().unwrap().contains("SLIPWAY_SECRET_KEY"),
        "{problem}"
    );
    assert!(!refused.text().contains(hooks::SECRET));
}

#[sqlx::test(migrations = false)]
async fn what_is_no_trigger_is_refused_with_its_field(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for (pointer, value, field) in [
        ("/provider", json!("sourceforge"), "provider"),
        ("/repository", json!("../app"), "repository"),
        ("/clone_url", json!("file:///etc"), "clone_url"),
        (
            "/clone_url",
            json!("https://user:pw@git.example/a.git"),
            "clone_url",
        ),
        ("/secret", json!("short"), "secret"),
        ("/rules/0/source", json!("/(/"), "rules[0].source"),
        ("/rules/0/tags", json!(["{\\0}"]), "rules[0].tags"),
        (
            "/rules/0/repositories",
            json!(["team/app"]),
            "rules[0].repositories",
        ),
        ("/rules/1/name", json!("main"), "rules"),
    ] {
        let mut body = wanted();
        *body.pointer_mut(pointer).unwrap() = value;
        let problem = service
            .post(TRIGGERS, &body)
            .await
            .is_problem(422, "validation_failed");
        let named = problem["errors"][0]["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{field}: {problem}");
    }
    let mut body = wanted();
    body["secret"] = json!("schaltjahr\u{e4}schaltjahr");
    let refused = service.post(TRIGGERS, &body).await;
    assert!(!refused.text().contains("schaltjahr"), "{}", refused.text());
}

#[sqlx::test(migrations = false)]
async fn a_trigger_is_changed_and_removed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = make(&service, &wanted()).await;
    let push = github_push("refs/heads/main", COMMIT);
    deliver(&service, &id, hooks::SECRET, "d-0", &push).await;
    let changed = service.patch(&path(&id), &json!({"enabled": false})).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    let changed = changed.json();
    assert_eq!(changed["enabled"], false);
    assert_eq!(changed["rules"].as_array().unwrap().len(), 2);
    service
        .patch(&path(&id), &json!({"colour": "red"}))
        .await
        .is_problem(422, "validation_failed");
    assert_eq!(service.delete(&path(&id)).await.status, StatusCode::NO_CONTENT);
    for gone in [service.get(&path(&id)).await, service.delete(&path(&id)).await] {
        gone.is_problem(404, "not_found");
    }
    let push = github_push("refs/heads/main", COMMIT);
    deliver(&service, &id, hooks::SECRET, "d-1", &push)
        .await
        .is_problem(404, "not_found");
    let pool = PgPool::connect_with(database).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM trigger_secrets)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0, "its deliveries and secrets went with it");
}

#[sqlx::test(migrations = false)]
async fn triggers_are_listed_page_by_page(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, make(&service, &wanted()).await);
    }
    let page = |answer: Answer| -> Vec<String> {
        let page = answer.json();
        let all = page["triggers"].as_array().unwrap();
        all.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = service.get(&format!("{TRIGGERS}?limit=2")).await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(page(first), ids[..2]);
    let second = service.get(&format!("{TRIGGERS}?limit=2&cursor={cursor}")).await;
    assert_eq!(second.json()["next_cursor"], Value::Null);
    assert_eq!(page(second), ids[2..]);
    assert!(page(service.get(&format!("{TRIGGERS}?project=other")).await).is_empty());
}

#[sqlx::test(migrations = false)]
async fn two_secrets_count_while_one_replaces_the_other(pools: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = make(&service, &wanted()).await;
    let rotate = format!("{}/rotate-secret", path(&id));
    let rotated = service.post(&rotate, &json!({"overlap_seconds": 3600})).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.text());
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();
    let try_with = async |secret: &str, delivery: &str| {
        let push = github_push("refs/heads/main", COMMIT);
        deliver(&service, &id, secret, delivery, &push).await.status
    };
    assert_eq!(try_with(hooks::SECRET, "d-1").await, StatusCode::OK);
    assert_eq!(try_with(&new, "d-2").await, StatusCode::OK);
    let pool: PgPool = pools.connect_with(database).await.unwrap();
    sqlx::query(
        "UPDATE trigger_secrets SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(try_with(hooks::SECRET, "d-3").await, StatusCode::UNAUTHORIZED);
    assert_eq!(try_with(&new, "d-4").await, StatusCode::OK);
    // Of three, the oldest counts no more.
    let second = service
        .post(&rotate, &json!({"secret": "a-secret-of-ones-own"}))
        .await;
    assert_eq!(second.json()["secret"], "a-secret-of-ones-own");
    service.post(&rotate, &json!({})).await;
    assert_eq!(try_with(&new, "d-5").await, StatusCode::UNAUTHORIZED);
    assert_eq!(try_with("a-secret-of-ones-own", "d-6").await, StatusCode::OK);
    service
        .post(&rotate, &json!({"overlap_seconds": 604_801}))
        .await
        .is_problem(422, "validation_failed");
}

#[sqlx::test(migrations = false)]
async fn a_dry_run_says_what_each_rule_makes_of_a_ref(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = make(&service, &wanted()).await;
    let dry_run = format!("{}/dry-run", path(&id));
    let tried = service
        .post(&dry_run, &json!({"ref_type": "tag", "ref_name": "v1.20"}))
        .await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text());
    assert_eq!(
        tried.json()["rules"],
        json!([
            {"rule": "main", "matches": false, "tags": [], "destinations": [],
                "reason": "the rule is for refs of the other kind"},
            {"rule": "versions", "matches": true, "tags": ["1", "1.20"],
                "destinations": ["registry.example/team/app:1", "registry.example/team/app:1.20"], "reason": null},
        ])
    );
    let mut rule = wanted()["rules"][0].clone();
    rule["source"] = json!("/.*/");
    rule["tags"] = json!(["{sourceref}"]);
    let odd = json!({"ref_type": "branch", "ref_name": "a+b", "rules": [rule]});
    let tried = service.post(&dry_run, &odd).await.json();
    assert_eq!(tried["rules"][0]["matches"], true);
    assert!(
        tried["rules"][0]["reason"].as_str().unwrap().contains("a+b"),
        "{tried}"
    );
    assert!(
        service.get("/api/v1/builds").await.json()["builds"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    service
        .post(&dry_run, &json!({"ref_type": "branch", "ref_name": "-x"}))
        .await
        .is_problem(422, "validation_failed");
}

#[sqlx::test(migrations = false)]
async fn a_ref_is_built_on_request_as_often_as_it_is_asked_for(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = make(&service, &wanted()).await;
    let build = format!("{}/builds", path(&id));
    let main = json!({"ref_type": "branch", "ref_name": "main", "commit": COMMIT});
    let mut builds = Vec::new();
    for _ in 0..2 {
        let asked = service.post(&build, &main).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
        let asked = asked.json();
        assert_eq!(
            (&asked["verdict"], &asked["event"]),
            (&json!("built"), &json!("requested"))
        );
        builds.push(asked["consequences"][0]["build_id"].clone());
    }
    assert_ne!(builds[0], builds[1]);
    let none = service
        .post(
            &build,
            &json!({"ref_type": "branch", "ref_name": "main", "rule": "versions"}),
        )
        .await
        .json();
    assert_eq!(none["verdict"], "skipped");
    service.patch(&path(&id), &json!({"enabled": false})).await;
    service
        .post(&build, &main)
        .await
        .is_problem(409, "trigger_disabled");
}

#[sqlx::test(migrations = false)]
async fn triggers_of_others_look_like_none(_: PgPoolOptions, database: PgConnectOptions) {
    Harness::guarded(&database).await;
    let service = Harness::lenient(&database).await;
    projects(&service).await;
    let own = Key::make(&service, Some("team"), &[Scope::TriggersWrite]).await;
    let reader = Key::make(&service, Some("team"), &[Scope::TriggersRead]).await;
    let other = Key::make(&service, Some("other"), &[Scope::ProjectAdmin]).await;
    let made = own.post(&service, TRIGGERS, &wanted()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let push = github_push("refs/heads/main", COMMIT);
    let delivered = deliver(&service, &id, hooks::SECRET, "d-1", &push).await.json();
    assert_eq!(delivered["verdict"], "built", "{delivered}");
    let delivery = delivered["delivery_id"].as_str().unwrap();

    let (ref_main, nothing) = (json!({"ref_type": "branch", "ref_name": "main"}), json!({}));
    let reads = [
        path(&id),
        format!("{}/deliveries", path(&id)),
        format!("/api/v1/deliveries/{delivery}"),
    ];
    let writes = [
        (format!("{}/rotate-secret", path(&id)), &nothing),
        (format!("{}/builds", path(&id)), &ref_main),
        (format!("/api/v1/deliveries/{delivery}/replay"), &nothing),
    ];
    for path in &reads {
        assert_eq!(reader.get(&service, path).await.status, StatusCode::OK, "{path}");
        other.get(&service, path).await.is_problem(404, "not_found");
        service.get(path).await.is_problem(401, "unauthorized");
    }
    for (path, body) in &writes {
        other
            .post(&service, path, body)
            .await
            .is_problem(404, "not_found");
        reader
            .post(&service, path, body)
            .await
            .is_problem(403, "forbidden");
        service.post(path, body).await.is_problem(401, "unauthorized");
    }
    for method in [Method::PATCH, Method::DELETE] {
        let body = (method == Method::PATCH).then_some(&nothing);
        let changed = other.send(&service, method.clone(), &path(&id), body).await;
        changed.is_problem(404, "not_found");
        let changed = reader.send(&service, method, &path(&id), body).await;
        changed.is_problem(403, "forbidden");
    }
    other
        .post(&service, TRIGGERS, &wanted())
        .await
        .is_problem(404, "not_found");
    let seen = other.get(&service, TRIGGERS).await;
    assert_eq!(seen.json()["triggers"], json!([]));
    let seen = own.get(&service, TRIGGERS).await;
    assert_eq!(seen.json()["triggers"][0]["id"], id);
}

#[sqlx::test(migrations = false)]
async fn a_trigger_pushes_where_its_project_may(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::guarded(&database).await;
    let admin = projects(&service).await;
    let own = Key::make(&service, Some("team"), &[Scope::TriggersWrite]).await;
    let made = own.post(&service, TRIGGERS, &wanted()).await.json();
    let id = made["id"].as_str().unwrap();
    let push = github_push("refs/heads/main", COMMIT);
    // Nothing is settled, and nobody asks who could decide.
    let delivered = deliver(&service, id, hooks::SECRET, "d-1", &push).await.json();
    assert_eq!(
        (&delivered["verdict"], &delivered["builds"]),
        (&json!("skipped"), &json!([]))
    );
    assert!(
        delivered["reason"].as_str().unwrap().contains("destinations"),
        "{delivered}"
    );
    let main = json!({"ref_type": "branch", "ref_name": "main"});
    let tried = own
        .post(&service, &format!("{}/dry-run", path(id)), &main)
        .await
        .json();
    assert!(
        tried["rules"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("destinations"),
        "{tried}"
    );
    let build = format!("{}/builds", path(id));
    assert_eq!(
        own.post(&service, &build, &main).await.json()["verdict"],
        "skipped"
    );
    assert_eq!(
        admin.post(&service, &build, &main).await.json()["verdict"],
        "built"
    );

    let settled = request(Method::PUT, "/api/v1/projects/team")
        .header("authorization", admin.header())
        .header("content-type", "application/json")
        .header("if-match", "*")
        .body(Body::from(
            r#"{"settings": {"destinations": ["registry.example/team"]}}"#,
        ))
        .unwrap();
    let settled = service.send(settled).await;
    assert_eq!(settled.status, StatusCode::OK, "{}", settled.text());
    let delivered = deliver(&service, id, hooks::SECRET, "d-2", &push).await.json();
    assert_eq!(delivered["verdict"], "built", "{delivered}");
}

#[sqlx::test(migrations = false)]
async fn each_change_of_a_trigger_is_on_record_without_its_secret(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let id = make(&service, &wanted()).await;
    service.patch(&path(&id), &json!({"enabled": false})).await;
    let rotated = service
        .post(&format!("{}/rotate-secret", path(&id)), &json!({}))
        .await
        .json();
    service.delete(&path(&id)).await;
    let log = service.get("/api/v1/audit").await;
    let entries = log.json()["entries"].as_array().unwrap().clone();
    let actions: Vec<&str> = entries
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "trigger.removed",
            "trigger.secret_rotated",
            "trigger.changed",
            "trigger.created"
        ]
    );
    assert!(
        entries
            .iter()
            .all(|one| one["subject"] == id && one["project"] == "team")
    );
    assert_eq!(
        (&entries[2]["before"]["enabled"], &entries[2]["after"]["enabled"]),
        (&json!(true), &json!(false))
    );
    for secret in [hooks::SECRET, rotated["secret"].as_str().unwrap()] {
        assert!(!log.text().contains(secret));
    }
}
