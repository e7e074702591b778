//! Who is let in, and what they see: tokens, their scopes, and that others' projects look like nothing.

use std::time::Duration;

use axum::body::Body;
use http::{Method, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use slipway::domain::{Actor, BuildId, NewToken, ProjectName, Scope, Token, TokenText};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tower::ServiceExt;

use crate::api::harness::{Answer, Harness, request, wanted};

/// A token as its owner has it.
pub struct Key {
    pub text: TokenText,
    pub token: Token,
}

impl Key {
    pub async fn make(harness: &Harness, project: Option<&str>, scopes: &[Scope]) -> Self {
        Self::lasting(harness, project, scopes, None).await
    }

    pub async fn lasting(
        harness: &Harness,
        project: Option<&str>,
        scopes: &[Scope],
        lifetime: Option<Duration>,
    ) -> Self {
        let project = project.map(|name| name.parse::<ProjectName>().unwrap());
        let new = NewToken::new(project, "test".parse().unwrap(), scopes.to_vec(), lifetime).unwrap();
        let text = TokenText::of(rand::random());
        let token = harness
            .store
            .add_token(&new, text.sha256(), None, &Actor::command_line())
            .await
            .unwrap();
        Self { text, token }
    }

    pub fn header(&self) -> String {
        format!("Bearer {}", self.text.expose())
    }

    /// A request with this token.
    pub async fn send(&self, harness: &Harness, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let asked = request(method, path).header(header::AUTHORIZATION, self.header());
        let asked = match body {
            Some(body) => asked
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => asked.body(Body::empty()),
        };
        harness.send(asked.unwrap()).await
    }

    pub async fn get(&self, harness: &Harness, path: &str) -> Answer {
        self.send(harness, Method::GET, path, None).await
    }

    pub async fn post(&self, harness: &Harness, path: &str, body: &Value) -> Answer {
        self.send(harness, Method::POST, path, Some(body)).await
    }

    /// Creates a build and answers its id.
    pub async fn create(&self, harness: &Harness, project: &str) -> BuildId {
        let mut body = wanted();
        body["project"] = json!(project);
        let created = self.post(harness, "/api/v1/builds", &body).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.json()["id"].as_str().unwrap().parse().unwrap()
    }
}

/// A service with a build in each of two projects; who administrates it, and a token of the first project.
pub struct Two {
    pub harness: Harness,
    pub admin: Key,
    pub own: BuildId,
    pub foreign: BuildId,
}

impl Two {
    pub async fn new(database: &PgConnectOptions) -> Self {
        let harness = Harness::guarded(database).await;
        let admin = Key::make(&harness, None, &[Scope::Admin]).await;
        let own = admin.create(&harness, "mine").await;
        let foreign = admin.create(&harness, "theirs").await;
        Self {
            harness,
            admin,
            own,
            foreign,
        }
    }

    /// The same, where the first project may push to the tests' registry.
    pub async fn pushing(database: &PgConnectOptions) -> Self {
        let two = Self::new(database).await;
        let terms = json!({"settings": {"destinations": ["registry.example"]}});
        let terms = serde_json::from_value(terms).unwrap();
        let (mine, actor) = ("mine".parse().unwrap(), Actor::command_line());
        two.harness
            .store
            .change_project(&mine, None, &terms, &actor)
            .await
            .unwrap();
        two
    }

    pub async fn mine(&self, scopes: &[Scope]) -> Key {
        Key::make(&self.harness, Some("mine"), scopes).await
    }
}

/// An answer's problem without what differs from request to request.
fn same(answer: &Answer) -> (u16, Value) {
    let mut problem = answer.json();
    problem.as_object_mut().unwrap().remove("request_id");
    (answer.status.as_u16(), problem)
}

/// Every operation of the API: its method, its path with something in the place of its parameters, and its scheme.
fn operations() -> Vec<(Method, String, String)> {
    let api = serde_json::to_value(slipway::api::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        let mut address = path.clone();
        while let (Some(from), Some(to)) = (address.find('{'), address.find('}')) {
            let id = matches!(&address[from..=to], "{id}").then(|| BuildId::generate().to_string());
            address.replace_range(from..=to, id.as_deref().unwrap_or("name"));
        }
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let schemes = operation["security"]
                .as_array()
                .unwrap_or_else(|| panic!("{method} {path} is open"));
            let scheme = schemes[0].as_object().unwrap().keys().next().unwrap();
            found.push((method, address.clone(), scheme.clone()));
        }
    }
    found
}

#[sqlx::test(migrations = false)]
async fn no_operation_of_the_api_answers_without_a_token(_: PgPoolOptions, database: PgConnectOptions) {
    let harness = Harness::guarded(&database).await;
    let expired = Key::lasting(&harness, None, &[Scope::Admin], Some(Duration::from_millis(1))).await;
    let revoked = Key::make(&harness, None, &[Scope::Admin]).await;
    harness
        .store
        .revoke_token(None, revoked.token.id, &Actor::command_line())
        .await
        .unwrap()
        .unwrap();
    let unknown = TokenText::of([7; 32]);
    let live = Key::make(&harness, None, &[Scope::Admin]).await;
    let mistyped = live.header().replace("slw_", "slw-");
    let credentials = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Basic YTpi".to_owned()),
        Some(live.text.expose().to_owned()),
        Some(mistyped),
        Some(format!("{}0", live.header())),
        Some(format!("Bearer {}", unknown.expose())),
        Some(expired.header()),
        Some(revoked.header()),
    ];
    let all = operations();
    assert!(all.len() >= 11, "{all:?}");
    for (method, path, scheme) in &all {
        let mut seen = None;
        for credentials in &credentials {
            let mut asked = request(method.clone(), path);
            if let Some(credentials) = credentials {
                asked = asked.header(header::AUTHORIZATION, credentials);
            }
            let answer = harness.send(asked.body(Body::empty()).unwrap()).await;
            answer.is_problem(401, "unauthorized");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer"),
                "{method} {path}"
            );
            assert_eq!(
                *seen.get_or_insert_with(|| same(&answer)),
                same(&answer),
                "{method} {path}"
            );
        }
        // With one, it does something else; a context's own route takes no such token.
        let answer = live.send(&harness, method.clone(), path, None).await;
        assert_eq!(
            answer.status == 401,
            scheme == "context",
            "{method} {path}: {answer:?}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn health_and_documentation_are_open(_: PgPoolOptions, database: PgConnectOptions) {
    let harness = Harness::guarded(&database).await;
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs/"] {
        let answer = harness.get(path).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.status);
    }
}

#[sqlx::test(migrations = false)]
async fn what_is_anothers_looks_like_nothing(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::new(&database).await;
    let key = two.mine(&[Scope::ProjectAdmin]).await;
    let context = two
        .admin
        .send(&two.harness, Method::GET, "/api/v1/builds", None)
        .await;
    assert_eq!(context.json()["builds"].as_array().unwrap().len(), 2);
    let missing = BuildId::generate();
    for (method, path) in [
        (Method::GET, "/api/v1/builds/{id}"),
        (Method::POST, "/api/v1/builds/{id}/cancel"),
        (Method::POST, "/api/v1/builds/{id}/rebuild"),
        (Method::GET, "/api/v1/builds/{id}/attempts"),
        (Method::GET, "/api/v1/builds/{id}/events"),
        (Method::GET, "/api/v1/builds/{id}/logs"),
        (Method::GET, "/api/v1/builds/{id}/logs?follow=true"),
        (Method::GET, "/api/v1/builds/{id}/logs?attempt=3&offset=0&tail=1"),
    ] {
        let at = |id: BuildId| path.replace("{id}", &id.to_string());
        let theirs = key
            .send(&two.harness, method.clone(), &at(two.foreign), None)
            .await;
        theirs.is_problem(404, "not_found");
        let none = key.send(&two.harness, method.clone(), &at(missing), None).await;
        assert_eq!(same(&theirs), same(&none), "{method} {path}");
        let own = key.send(&two.harness, method.clone(), &at(two.own), None).await;
        assert_ne!(own.status, 404, "{method} {path}: {own:?}");
    }
    // Not even a cancel went through.
    let foreign = two
        .admin
        .get(&two.harness, &format!("/api/v1/builds/{}", two.foreign))
        .await;
    assert_eq!(foreign.json()["state"], "queued");
    for path in ["/api/v1/builds", "/api/v1/queue", "/api/v1/events"] {
        let theirs = key.get(&two.harness, &format!("{path}?project=theirs")).await;
        let none = key.get(&two.harness, &format!("{path}?project=nobody")).await;
        theirs.is_problem(404, "not_found");
        assert_eq!(same(&theirs), same(&none), "{path}");
    }
    let mut body = wanted();
    for project in ["theirs", "nobody", "default"] {
        body["project"] = json!(project);
        let refused = key.post(&two.harness, "/api/v1/builds", &body).await;
        refused.is_problem(404, "not_found");
    }
}

#[sqlx::test(migrations = false)]
async fn contexts_of_another_project_look_like_nothing(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::pushing(&database).await;
    let upload = async |key: &Key, query: &str| {
        let asked = request(Method::POST, &format!("/api/v1/contexts{query}"))
            .header(header::AUTHORIZATION, key.header())
            .header(header::CONTENT_TYPE, "text/plain");
        two.harness
            .send(asked.body(Body::from("FROM scratch\n")).unwrap())
            .await
    };
    let key = two.mine(&[Scope::ContextsWrite, Scope::BuildsWrite]).await;
    let own = upload(&key, "").await;
    assert_eq!(
        (own.status.as_u16(), &own.json()["project"]),
        (201, &json!("mine"))
    );
    upload(&key, "?project=theirs").await.is_problem(404, "not_found");
    let theirs_body = upload(&two.admin, "?project=theirs").await.json();
    let theirs = theirs_body["id"].as_str().unwrap();
    let refused = key.get(&two.harness, &format!("/api/v1/contexts/{theirs}")).await;
    let none = key
        .get(&two.harness, &format!("/api/v1/contexts/{}", BuildId::generate()))
        .await;
    refused.is_problem(404, "not_found");
    assert_eq!(same(&refused), same(&none));
    let own_body = own.json();
    let own = own_body["id"].as_str().unwrap();
    assert_eq!(
        key.get(&two.harness, &format!("/api/v1/contexts/{own}"))
            .await
            .status,
        200
    );
    // A build can be made of one's own only.
    let of = |id: &str| json!({"source": {"upload": {"context_id": id}}, "destinations": ["registry.example/a/b:1"]});
    assert_eq!(
        key.post(&two.harness, "/api/v1/builds", &of(own)).await.status,
        201
    );
    let refused = key.post(&two.harness, "/api/v1/builds", &of(theirs)).await;
    let none = key
        .post(
            &two.harness,
            "/api/v1/builds",
            &of(&BuildId::generate().to_string()),
        )
        .await;
    refused.is_problem(422, "validation_failed");
    assert_eq!(same(&refused), same(&none));
}

#[sqlx::test(migrations = false)]
async fn lists_show_what_is_the_callers(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::new(&database).await;
    let key = two.mine(&[Scope::BuildsRead]).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let builds = answer.json()["builds"].as_array().unwrap().clone();
        builds
            .iter()
            .map(|build| build["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(&key.get(&two.harness, "/api/v1/builds").await),
        [two.own.to_string()]
    );
    let page = two.admin.get(&two.harness, "/api/v1/builds?limit=1").await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let others = key
        .get(&two.harness, &format!("/api/v1/builds?cursor={cursor}"))
        .await;
    assert_eq!(
        ids(&others),
        [two.own.to_string()],
        "a cursor of others leads nowhere else"
    );
    let queue = key.get(&two.harness, "/api/v1/queue").await.json();
    assert_eq!(
        (&queue["queued"], queue["projects"].as_array().unwrap().len()),
        (&json!(1), 1)
    );
    assert_eq!(queue["projects"][0]["project"], "mine");
    assert_eq!(
        two.admin.get(&two.harness, "/api/v1/queue").await.json()["queued"],
        2
    );
    // They are shown once every older transaction has ended, of other tests too.
    let events = loop {
        let page = key.get(&two.harness, "/api/v1/events").await.json();
        let events = page["events"].as_array().unwrap().clone();
        if !events.is_empty() {
            break events;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        events.iter().all(|event| event["build_id"] == json!(two.own)),
        "{events:?}"
    );
}

#[sqlx::test(migrations = false)]
async fn each_scope_opens_its_routes_and_no_other(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::new(&database).await;
    let build = two.own;
    let routes = [
        (Scope::BuildsRead, Method::GET, "/api/v1/builds".to_owned()),
        (Scope::BuildsRead, Method::GET, "/api/v1/queue".to_owned()),
        (Scope::BuildsRead, Method::GET, "/api/v1/events".to_owned()),
        (Scope::BuildsRead, Method::GET, format!("/api/v1/builds/{build}")),
        (
            Scope::BuildsRead,
            Method::GET,
            format!("/api/v1/builds/{build}/attempts"),
        ),
        (
            Scope::BuildsRead,
            Method::GET,
            format!("/api/v1/builds/{build}/events"),
        ),
        (
            Scope::BuildsRead,
            Method::GET,
            format!("/api/v1/builds/{build}/logs"),
        ),
        (Scope::BuildsWrite, Method::POST, "/api/v1/builds".to_owned()),
        (
            Scope::BuildsWrite,
            Method::POST,
            format!("/api/v1/builds/{build}/rebuild"),
        ),
        (
            Scope::BuildsWrite,
            Method::POST,
            format!("/api/v1/builds/{build}/cancel"),
        ),
        (Scope::ContextsWrite, Method::POST, "/api/v1/contexts".to_owned()),
    ];
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin) {
        let key = two.mine(&[scope]).await;
        for (wanted_scope, method, path) in &routes {
            let body = (path == "/api/v1/builds" && *method == Method::POST).then(wanted);
            let answer = key.send(&two.harness, method.clone(), path, body.as_ref()).await;
            if scope.gives(*wanted_scope) {
                assert!(
                    ![401, 403, 404].contains(&answer.status.as_u16()),
                    "{scope}: {method} {path}: {answer:?}"
                );
            } else {
                let said = answer.is_problem(403, "forbidden")["detail"].to_string();
                assert!(
                    said.contains(wanted_scope.as_str()),
                    "{scope}: {method} {path}: {said}"
                );
            }
        }
    }
}

#[sqlx::test(migrations = false)]
async fn a_build_without_a_project_is_for_the_tokens_own(_: PgPoolOptions, database: PgConnectOptions) {
    let two = Two::pushing(&database).await;
    let key = two.mine(&[Scope::BuildsWrite]).await;
    let created = key.post(&two.harness, "/api/v1/builds", &wanted()).await.json();
    assert_eq!(
        (&created["project"], &created["spec"]["project"]),
        (&json!("mine"), &json!("mine"))
    );
    let created = two
        .admin
        .post(&two.harness, "/api/v1/builds", &wanted())
        .await
        .json();
    assert_eq!(created["project"], "default");
}

/// What a stream has sent when it ends.
async fn to_its_end(harness: &Harness, key: &Key, path: &str) -> tokio::task::JoinHandle<Vec<u8>> {
    let asked = request(Method::GET, path)
        .header(header::AUTHORIZATION, key.header())
        .header(header::ACCEPT, "text/event-stream");
    let answer = harness
        .app
        .clone()
        .oneshot(asked.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    tokio::spawn(async move { answer.into_body().collect().await.unwrap().to_bytes().to_vec() })
}

#[sqlx::test(migrations = false)]
async fn streams_end_with_the_token_that_they_were_asked_for_with(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let two = Two::new(&database).await;
    let revoked = two.mine(&[Scope::BuildsRead]).await;
    let expiring = Key::lasting(
        &two.harness,
        Some("mine"),
        &[Scope::BuildsRead],
        Some(Duration::from_secs(4)),
    )
    .await;
    let mut streams = Vec::new();
    for key in [&revoked, &expiring] {
        for path in [
            "/api/v1/events".to_owned(),
            format!("/api/v1/builds/{}/events", two.own),
            format!("/api/v1/builds/{}/logs", two.own),
        ] {
            streams.push(to_its_end(&two.harness, key, &path).await);
        }
    }
    let waiting = {
        let (app, header) = (two.harness.app.clone(), revoked.header());
        let asked = request(Method::GET, &format!("/api/v1/builds/{}", two.own))
            .header(header::AUTHORIZATION, header)
            .header("prefer", "wait=60");
        tokio::spawn(app.oneshot(asked.body(Body::empty()).unwrap()))
    };
    // As another replica would, so that this one has to find out.
    let (mine, actor): (ProjectName, _) = ("mine".parse().unwrap(), Actor::command_line());
    let done = two
        .harness
        .store
        .revoke_token(Some(&mine), revoked.token.id, &actor)
        .await;
    assert!(done.unwrap().unwrap().revoked_at.is_some());
    let ended = async {
        for stream in streams {
            stream.await.unwrap();
        }
        waiting.await.unwrap().unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("they end within seconds");
    assert_eq!(answer.status(), 401);
    revoked
        .get(&two.harness, "/api/v1/builds")
        .await
        .is_problem(401, "unauthorized");
}

#[sqlx::test(migrations = false)]
async fn the_last_use_is_recorded(_: PgPoolOptions, database: PgConnectOptions) {
    let harness = Harness::guarded(&database).await;
    let key = Key::make(&harness, None, &[Scope::Admin]).await;
    assert_eq!(key.token.last_used_at, None);
    assert_eq!(key.get(&harness, "/api/v1/builds").await.status, 200);
    let used = async {
        loop {
            let token = harness.store.tokens(None, None, 10).await.unwrap().pop().unwrap();
            if token.last_used_at.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), used)
        .await
        .expect("it is recorded");
}
