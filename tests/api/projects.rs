//! Projects, their tokens, what is settled for them, and the log of who changed what.

use std::time::Duration;

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use slipway::domain::{Scope, TokenText};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    api::harness::{Answer, Harness, request, wanted},
    api::tenancy::{Key, Two},
};

const PROJECTS: &str = "/api/v1/projects";

/// PUT with `If-Match`.
async fn put(harness: &Harness, key: &Key, name: &str, tag: Option<&str>, terms: &Value) -> Answer {
    let mut asked = request(Method::PUT, &format!("{PROJECTS}/{name}"))
        .header(header::AUTHORIZATION, key.header())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(tag) = tag {
        asked = asked.header(header::IF_MATCH, tag);
    }
    harness
        .send(asked.body(Body::from(terms.to_string())).unwrap())
        .await
}

async fn delete(harness: &Harness, key: &Key, path: &str) -> Answer {
    key.send(harness, Method::DELETE, path, None).await
}

async fn guarded(database: &PgConnectOptions) -> (Harness, Key) {
    let harness = Harness::guarded(database).await;
    let admin = Key::make(&harness, None, &[Scope::Admin]).await;
    (harness, admin)
}

/// A token that the API makes.
async fn made(harness: &Harness, by: &Key, path: &str, body: Value) -> (String, TokenText) {
    let answer = by.post(harness, path, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json();
    let text = token["token"]
        .as_str()
        .unwrap()
        .parse()
        .expect("it is of the form");
    (token["id"].as_str().unwrap().to_owned(), text)
}

async fn opens(harness: &Harness, text: &TokenText) -> u16 {
    let bearer = format!("Bearer {}", text.expose());
    let answer = harness
        .get_with("/api/v1/builds", &[("authorization", &bearer)])
        .await;
    answer.status.as_u16()
}

#[sqlx::test(migrations = false)]
async fn a_project_is_made_changed_and_removed(_: PgPoolOptions, database: PgConnectOptions) {
    let (harness, admin) = guarded(&database).await;
    let new =
        json!({"name": "team", "terms": {"max_queued": 5, "settings": {"push_secret": "team-registry"}}});
    let made = admin.post(&harness, PROJECTS, &new).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location")),
        (201, Some("/api/v1/projects/team"))
    );
    assert_eq!(
        (
            &made.json()["terms"]["max_queued"],
            &made.json()["terms"]["weight"]
        ),
        (&json!(5), &json!(1))
    );
    admin
        .post(&harness, PROJECTS, &new)
        .await
        .is_problem(409, "project_exists");

    let read = admin.get(&harness, "/api/v1/projects/team").await;
    let tag = read.header("etag").unwrap().to_owned();
    let mut terms = read.json()["terms"].clone();
    terms["weight"] = json!(3);
    put(&harness, &admin, "team", None, &terms)
        .await
        .is_problem(428, "precondition_required");
    let changed = put(&harness, &admin, "team", Some(&tag), &terms).await;
    assert_eq!(
        (changed.status.as_u16(), &changed.json()["terms"]["weight"]),
        (200, &json!(3))
    );
    terms["weight"] = json!(4);
    put(&harness, &admin, "team", Some(&tag), &terms)
        .await
        .is_problem(412, "precondition_failed");
    put(&harness, &admin, "team", Some("\"x\""), &terms)
        .await
        .is_problem(412, "precondition_failed");
    assert_eq!(put(&harness, &admin, "team", Some("*"), &terms).await.status, 200);
    put(&harness, &admin, "nobody", Some("*"), &terms)
        .await
        .is_problem(404, "not_found");
    for (bad, field) in [
        (json!({"weight": 0}), "weight"),
        (
            json!({"settings": {"push_secret": "../x"}}),
            "settings.push_secret",
        ),
        (
            json!({"settings": {"destinations": ["a.example.com/A"]}}),
            "settings.destinations[0]",
        ),
        (json!({"colour": 1}), "colour"),
    ] {
        let problem = put(&harness, &admin, "team", Some("*"), &bad)
            .await
            .is_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }

    let build = admin.create(&harness, "team").await;
    delete(&harness, &admin, "/api/v1/projects/team")
        .await
        .is_problem(409, "project_busy");
    admin
        .post(&harness, &format!("/api/v1/builds/{build}/cancel"), &json!({}))
        .await;
    let (_, token) = self::made(
        &harness,
        &admin,
        "/api/v1/projects/team/tokens",
        json!({"name": "ci", "scopes": ["builds:write"]}),
    )
    .await;
    assert_eq!(opens(&harness, &token).await, 200);
    assert_eq!(
        delete(&harness, &admin, "/api/v1/projects/team").await.status,
        204
    );
    assert_eq!(
        opens(&harness, &token).await,
        401,
        "its tokens are revoked, here at once"
    );
    admin
        .get(&harness, "/api/v1/projects/team")
        .await
        .is_problem(404, "not_found");
    delete(&harness, &admin, "/api/v1/projects/team")
        .await
        .is_problem(404, "not_found");
    assert_eq!(
        admin
            .get(&harness, &format!("/api/v1/builds/{build}"))
            .await
            .status,
        200,
        "its builds stay"
    );
    let mut body = wanted();
    body["project"] = json!("team");
    let refused = admin
        .post(&harness, "/api/v1/builds", &body)
        .await
        .is_problem(422, "validation_failed");
    assert_eq!(refused["errors"][0]["field"], "project");
    assert_eq!(
        admin
            .post(&harness, PROJECTS, &json!({"name": "team"}))
            .await
            .status,
        201
    );
    assert_eq!(
        opens(&harness, &token).await,
        401,
        "who comes back has to be let in anew"
    );
    assert_eq!(admin.post(&harness, "/api/v1/builds", &body).await.status, 201);
}

#[sqlx::test(migrations = false)]
async fn projects_are_listed_page_by_page(_: PgPoolOptions, database: PgConnectOptions) {
    let (harness, admin) = guarded(&database).await;
    for name in ["b", "a", "c"] {
        assert_eq!(
            admin
                .post(&harness, PROJECTS, &json!({ "name": name }))
                .await
                .status,
            201
        );
    }
    let mut seen = Vec::new();
    let mut path = format!("{PROJECTS}?limit=2");
    loop {
        let page = admin.get(&harness, &path).await.json();
        let projects = page["projects"].as_array().unwrap().clone();
        seen.extend(
            projects
                .iter()
                .map(|project| project["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("{PROJECTS}?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["a", "b", "c"]);
}

#[sqlx::test(migrations = false)]
async fn a_projects_administrator_sees_it_and_gives_tokens_of_it(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let two = Two::new(&database).await;
    let harness = &two.harness;
    let owner = two.mine(&[Scope::ProjectAdmin]).await;
    let names = owner.get(harness, PROJECTS).await.json();
    assert_eq!(names["projects"].as_array().unwrap().len(), 1);
    assert_eq!(owner.get(harness, "/api/v1/projects/mine").await.status, 200);
    for path in [
        "/api/v1/projects/theirs",
        "/api/v1/projects/theirs/tokens",
        "/api/v1/projects/nobody",
    ] {
        owner.get(harness, path).await.is_problem(404, "not_found");
    }
    put(harness, &owner, "mine", Some("*"), &json!({}))
        .await
        .is_problem(403, "forbidden");
    delete(harness, &owner, "/api/v1/projects/mine")
        .await
        .is_problem(403, "forbidden");
    owner
        .post(harness, PROJECTS, &json!({"name": "more"}))
        .await
        .is_problem(403, "forbidden");
    for path in ["/api/v1/audit", "/api/v1/tokens"] {
        owner.get(harness, path).await.is_problem(403, "forbidden");
    }

    let tokens = "/api/v1/projects/mine/tokens";
    let ci = json!({"name": "ci", "scopes": ["builds:write", "contexts:write"]});
    let (id, text) = made(harness, &owner, tokens, ci.clone()).await;
    assert_eq!(opens(harness, &text).await, 200);
    let listed = owner.get(harness, tokens).await;
    assert!(!listed.text().contains(text.expose()), "it is shown once");
    assert_eq!(listed.json()["tokens"][0]["id"], json!(id));
    let more = json!({"name": "x", "scopes": ["admin"]});
    owner
        .post(harness, tokens, &more)
        .await
        .is_problem(422, "validation_failed");
    owner
        .post(harness, "/api/v1/projects/theirs/tokens", &ci)
        .await
        .is_problem(404, "not_found");
    owner
        .post(harness, "/api/v1/tokens", &more)
        .await
        .is_problem(403, "forbidden");
    let writer = two.mine(&[Scope::BuildsWrite]).await;
    writer
        .post(harness, tokens, &ci)
        .await
        .is_problem(403, "forbidden");
    writer.get(harness, tokens).await.is_problem(403, "forbidden");

    // Of another project it cannot be revoked, whoever asks.
    let elsewhere = format!("/api/v1/projects/theirs/tokens/{id}");
    delete(harness, &owner, &elsewhere)
        .await
        .is_problem(404, "not_found");
    delete(harness, &two.admin, &elsewhere)
        .await
        .is_problem(404, "not_found");
    assert_eq!(opens(harness, &text).await, 200);
    for _ in 0..2 {
        assert_eq!(
            delete(harness, &owner, &format!("{tokens}/{id}")).await.status,
            204
        );
        assert_eq!(opens(harness, &text).await, 401, "at once");
    }
}

#[sqlx::test(migrations = false)]
async fn a_token_never_outlives_the_one_that_asked_for_it(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::new(&database).await;
    let hour = Some(Duration::from_secs(3600));
    let owner = Key::lasting(&two.harness, Some("mine"), &[Scope::ProjectAdmin], hour).await;
    let path = "/api/v1/projects/mine/tokens";
    for body in [
        json!({"name": "a", "scopes": ["builds:read"]}),
        json!({"name": "b", "scopes": ["builds:read"], "expires_in_seconds": 7200}),
    ] {
        let token = owner.post(&two.harness, path, &body).await.json();
        let expires: jiff::Timestamp = token["expires_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(Some(expires), owner.token.expires_at);
    }
    let short = json!({"name": "c", "scopes": ["builds:read"], "expires_in_seconds": 60});
    let token = owner.post(&two.harness, path, &short).await.json();
    let expires: jiff::Timestamp = token["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(Some(expires) < owner.token.expires_at);
    let forever = json!({"name": "d", "scopes": ["builds:read"], "expires_in_seconds": 0});
    let problem = owner
        .post(&two.harness, path, &forever)
        .await
        .is_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "expires_in_seconds");
}

#[sqlx::test(migrations = false)]
async fn another_replica_learns_of_a_revocation_within_seconds(_: PgPoolOptions, database: PgConnectOptions) {
    let (harness, admin) = guarded(&database).await;
    let other = Harness::replica(&database).await;
    let (id, text) = made(
        &harness,
        &admin,
        "/api/v1/tokens",
        json!({"name": "x", "scopes": ["admin"]}),
    )
    .await;
    assert_eq!(
        (opens(&harness, &text).await, opens(&other, &text).await),
        (200, 200)
    );
    assert_eq!(
        delete(&harness, &admin, &format!("/api/v1/tokens/{id}"))
            .await
            .status,
        204
    );
    assert_eq!(opens(&harness, &text).await, 401);
    let refused = async {
        while opens(&other, &text).await != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), refused)
        .await
        .expect("within seconds");
}

#[sqlx::test(migrations = false)]
async fn builds_keep_to_what_is_settled(_: PgPoolOptions, database: PgConnectOptions) {
    let (harness, admin) = guarded(&database).await;
    let terms = json!({"settings": {
        "destinations": ["registry.example/team"], "default_registry": "registry.example/team",
        "sources": ["git", "volume"], "claims": ["shared"],
        "default_resources": {"cpu": "500m"}, "max_resources": {"cpu": "2", "memory": "1Gi"},
    }});
    let new = json!({"name": "team", "terms": terms});
    assert_eq!(admin.post(&harness, PROJECTS, &new).await.status, 201);
    let key = Key::make(&harness, Some("team"), &[Scope::BuildsWrite]).await;
    let asked = |change: Value| {
        let mut body = wanted();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    let built = key
        .post(
            &harness,
            "/api/v1/builds",
            &asked(json!({"destinations": ["app", "app:2"]})),
        )
        .await;
    assert_eq!(built.status, 201, "{built:?}");
    let spec = &built.json()["spec"];
    assert_eq!(
        spec["destinations"],
        json!(["registry.example/team/app", "registry.example/team/app:2"])
    );
    assert_eq!(spec["resources"], json!({"cpu": "500m", "memory": "1Gi"}));
    for (change, field) in [
        (
            json!({"destinations": ["registry.example/team/a1", "registry.example/teams/a"]}),
            "destinations[1]",
        ),
        (
            json!({"destinations": ["registry.example.evil.org/team/a1"]}),
            "destinations[0]",
        ),
        (
            json!({"cache": {"enabled": true, "repository": "registry.example/cache"}}),
            "cache.repository",
        ),
        (
            json!({"source": {"http": {"url": "https://a.example/x.tar.gz"}}}),
            "source",
        ),
        (
            json!({"source": {"volume": {"claim": "other"}}}),
            "source.volume.claim",
        ),
        (json!({"resources": {"cpu": "3"}}), "resources.cpu"),
        (json!({"resources": {"memory": "2Gi"}}), "resources.memory"),
    ] {
        // Administrators are bound by it, too.
        let mut by_admin = asked(change.clone());
        by_admin["project"] = json!("team");
        for answer in [
            key.post(&harness, "/api/v1/builds", &asked(change.clone())).await,
            admin.post(&harness, "/api/v1/builds", &by_admin).await,
        ] {
            let problem = answer.is_problem(422, "validation_failed");
            assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        }
    }
    // What was allowed once need not be now.
    let id = built.json()["id"].as_str().unwrap().to_owned();
    let rebuild = format!("/api/v1/builds/{id}/rebuild");
    assert_eq!(key.post(&harness, &rebuild, &json!({})).await.status, 201);
    let elsewhere = json!({"settings": {"destinations": ["other.example"]}});
    assert_eq!(
        put(&harness, &admin, "team", Some("*"), &elsewhere).await.status,
        200
    );
    let problem = key
        .post(&harness, &rebuild, &json!({}))
        .await
        .is_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "destinations[0]");
}

#[sqlx::test(migrations = false)]
async fn where_no_destinations_are_settled_only_administrators_choose(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let two = Two::new(&database).await;
    let key = two.mine(&[Scope::BuildsWrite]).await;
    let problem = key
        .post(&two.harness, "/api/v1/builds", &wanted())
        .await
        .is_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "destinations[0]");
    two.admin.create(&two.harness, "mine").await;
    let lenient = Harness::lenient(&database).await;
    assert_eq!(key.post(&lenient, "/api/v1/builds", &wanted()).await.status, 201);
}

#[sqlx::test(migrations = false)]
async fn each_change_is_in_the_audit_log_without_a_secret(_: PgPoolOptions, database: PgConnectOptions) {
    let (harness, admin) = guarded(&database).await;
    let new = json!({"name": "team", "terms": {"settings": {"push_secret": "team-registry"}}});
    admin.post(&harness, PROJECTS, &new).await;
    put(&harness, &admin, "team", Some("*"), &json!({"weight": 2})).await;
    let (id, text) = made(
        &harness,
        &admin,
        "/api/v1/projects/team/tokens",
        json!({"name": "ci", "scopes": ["builds:read"]}),
    )
    .await;
    delete(&harness, &admin, &format!("/api/v1/projects/team/tokens/{id}")).await;
    delete(&harness, &admin, "/api/v1/projects/team").await;
    // What did not take place is not there.
    delete(&harness, &admin, "/api/v1/projects/team").await;
    let mut entries = Vec::new();
    let mut path = "/api/v1/audit?limit=2".to_owned();
    loop {
        let page = admin.get(&harness, &path).await;
        assert!(!page.text().contains(text.expose()) && !page.text().contains(admin.text.expose()));
        let page = page.json();
        entries.extend(page["entries"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/audit?limit=2&cursor={next}");
    }
    let actions: Vec<_> = entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "project.removed",
            "token.revoked",
            "token.created",
            "project.changed",
            "project.created",
            "token.created"
        ]
    );
    assert_eq!(entries[5]["actor"], "command line");
    assert_eq!(
        (&entries[3]["token_id"], &entries[3]["actor"]),
        (&json!(admin.token.id), &json!("test"))
    );
    assert_eq!(
        (
            &entries[3]["before"]["settings"]["push_secret"],
            &entries[3]["after"]["weight"]
        ),
        (&json!("team-registry"), &json!(2))
    );
    assert_eq!(
        (&entries[0]["after"], &entries[4]["before"]),
        (&json!(null), &json!(null))
    );
}
