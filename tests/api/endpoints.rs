//! Endpoints over the API.

use axum::body::Body;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use slipway::domain::Scope;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    api::harness::{Answer, Harness, request, settled, wanted},
    api::tenancy::Key,
};

const URL: &str = "https://ci.example.com/hook";

async fn patch(service: &Harness, path: &str, body: &Value) -> Answer {
    let asked = request(Method::PATCH, path).header(header::CONTENT_TYPE, "application/json");
    let asked = asked
        .body(Body::from(body.to_string()))
        .expect("the request is valid");
    service.send(asked).await
}

async fn delete(service: &Harness, path: &str) -> Answer {
    let asked = request(Method::DELETE, path)
        .body(Body::empty())
        .expect("the request is valid");
    service.send(asked).await
}

async fn made(service: &Harness, body: &Value) -> Value {
    let made = service.post("/api/v1/endpoints", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.json()
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_is_made_shown_changed_and_removed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let made = service
        .post("/api/v1/endpoints", &json!({"url": URL, "description": "our CI"}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.header("location").expect("it has an address").to_owned();
    let body = made.json();
    let secret = body["secret"].as_str().expect("it is shown once");
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let mut shown = settled(body.clone());
    shown["secret"] = json!("[secret]");
    insta::assert_json_snapshot!("endpoint", shown);

    let got = service.get(&path).await.json();
    assert_eq!(got.get("secret"), None, "it is never shown again");
    assert_eq!(got["url"], URL);
    let list = service.get("/api/v1/endpoints").await.json();
    assert_eq!(list["endpoints"], json!([got]));
    assert_eq!(
        service.get("/api/v1/endpoints?project=other").await.json()["endpoints"],
        json!([])
    );

    let change = json!({"events": ["build.failed"], "enabled": false, "description": ""});
    let changed = patch(&service, &path, &change).await.json();
    assert_eq!(changed["events"], json!(["build.failed"]));
    assert_eq!(
        (&changed["enabled"], &changed["description"]),
        (&json!(false), &Value::Null)
    );
    service
        .post(&format!("{path}/test"), &json!({}))
        .await
        .is_problem(409, "endpoint_disabled");

    assert_eq!(delete(&service, &path).await.status, StatusCode::NO_CONTENT);
    service.get(&path).await.is_problem(404, "not_found");
    delete(&service, &path).await.is_problem(404, "not_found");
}

#[sqlx::test(migrations = false)]
async fn what_cannot_be_an_endpoint_is_refused(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": "ftp://a.example/"}), "url"),
        (json!({"url": "https://u:p@a.example/"}), "url"),
        (json!({"url": "http://127.0.0.1/"}), "url"),
        (json!({"url": "http://2130706433/"}), "url"),
        (json!({"url": "http://[::ffff:169.254.169.254]/"}), "url"),
        (json!({"url": URL, "events": []}), "events"),
        (json!({"url": URL, "events": ["build.exploded"]}), "events[0]"),
        (json!({"url": URL, "events": ["endpoint.test"]}), "events"),
        (
            json!({"url": URL, "format": "dockerhub", "events": ["build.failed"]}),
            "events",
        ),
        (json!({"url": URL, "secret": "short"}), "secret"),
        (json!({"url": URL, "colour": "red"}), "colour"),
        (json!({"url": URL, "description": "x".repeat(501)}), "description"),
    ] {
        let refused = service
            .post("/api/v1/endpoints", &body)
            .await
            .is_problem(422, "validation_failed");
        assert_eq!(refused["errors"][0]["field"], field, "{body}: {refused}");
    }
    let path = "/api/v1/endpoints/01890a5d-ac96-774b-bcce-b302099a8057";
    for path in [
        path.to_owned(),
        format!("{path}/notifications"),
        format!("{path}/notifications/1"),
        "/api/v1/endpoints/x".to_owned(),
    ] {
        service.get(&path).await.is_problem(404, "not_found");
    }
}

#[sqlx::test(migrations = false)]
async fn no_secret_is_in_the_database_in_the_clear(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let endpoint = made(&service, &json!({"url": URL, "secret": given})).await;
    assert_eq!(endpoint["secret"], given);
    let id = endpoint["id"].as_str().expect("an id");
    let rotated = service
        .post(
            &format!("/api/v1/endpoints/{id}/rotate"),
            &json!({"overlap_seconds": 60}),
        )
        .await;
    assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
    let rotated = rotated.json();
    assert_ne!(rotated["secret"], given);
    assert!(rotated["old_secret_until"].is_string());
    let sql = PgPool::connect_lazy_with(database);
    let dump: String = sqlx::query_scalar(
        "SELECT string_agg(encode(secret, 'escape') || encode(old_secret, 'escape') || e::text, ' ') FROM endpoints e",
    )
    .fetch_one(&sql)
    .await
    .expect("it can be dumped");
    assert!(dump.contains(id), "{dump}");
    assert!(!dump.contains("whsec_") && !dump.contains("MfKQ9r8G"), "{dump}");
}

#[sqlx::test(migrations = false)]
async fn without_a_key_no_secret_is_taken(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::without_key(&database).await;
    let refused = service.post("/api/v1/endpoints", &json!({"url": URL})).await;
    refused.is_problem(501, "secret_key_missing");
}

#[sqlx::test(migrations = false)]
async fn what_an_endpoint_was_told_is_listed_and_sent_again(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let endpoint = made(&service, &json!({"url": URL})).await;
    let path = format!("/api/v1/endpoints/{}", endpoint["id"].as_str().expect("an id"));
    for _ in 0..2 {
        service.create(&wanted()).await;
    }
    let tested = service.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(tested.status, StatusCode::ACCEPTED, "{tested:?}");
    insta::assert_json_snapshot!("notification", settled(tested.json()));
    let page = service.get(&format!("{path}/notifications?limit=2")).await.json();
    let kinds = |page: &Value| {
        let all = page["notifications"].as_array().expect("a list");
        all.iter()
            .map(|one| one["type"].as_str().expect("a type").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&page), ["endpoint.test", "build.queued"]);
    let rest = service
        .get(&format!("{path}/notifications?cursor={}", page["next_cursor"]))
        .await
        .json();
    assert_eq!(kinds(&rest), ["build.queued"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let number = &rest["notifications"][0]["id"];
    let again = service
        .post(&format!("{path}/notifications/{number}/redeliver"), &json!({}))
        .await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    service
        .post(&format!("{path}/notifications/999999/redeliver"), &json!({}))
        .await
        .is_problem(404, "not_found");
    let one = service
        .get(&format!("{path}/notifications/{number}"))
        .await
        .json();
    assert_eq!(one["state"], "waiting");
}

#[sqlx::test(migrations = false)]
async fn endpoints_are_their_projects_own_and_take_a_scope(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::guarded(&database).await;
    let admin = Key::make(&service, None, &[Scope::Admin]).await;
    admin.create(&service, "team").await;
    admin.create(&service, "other").await;
    let owner = Key::make(&service, Some("team"), &[Scope::EndpointsWrite]).await;
    let builder = Key::make(&service, Some("team"), &[Scope::BuildsWrite]).await;
    let stranger = Key::make(&service, Some("other"), &[Scope::ProjectAdmin]).await;
    let new = json!({"project": "team", "url": URL});
    service
        .post("/api/v1/endpoints", &new)
        .await
        .is_problem(401, "unauthorized");
    builder
        .post(&service, "/api/v1/endpoints", &new)
        .await
        .is_problem(403, "forbidden");
    stranger
        .post(&service, "/api/v1/endpoints", &new)
        .await
        .is_problem(404, "not_found");
    let made = owner.post(&service, "/api/v1/endpoints", &new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.header("location").expect("it has an address").to_owned();
    let list = owner.get(&service, "/api/v1/endpoints").await.json();
    assert_eq!(list["endpoints"].as_array().map(Vec::len), Some(1), "{list}");
    for (method, below) in [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::POST, "/test"),
        (Method::POST, "/rotate"),
        (Method::GET, "/notifications"),
        (Method::GET, "/notifications/1"),
        (Method::POST, "/notifications/1/redeliver"),
    ] {
        let path = format!("{path}{below}");
        let body = (method != Method::GET).then(|| json!({}));
        let foreign = stranger
            .send(&service, method.clone(), &path, body.as_ref())
            .await;
        foreign.is_problem(404, "not_found");
        let lacking = builder.send(&service, method, &path, body.as_ref()).await;
        lacking.is_problem(403, "forbidden");
    }
    assert_eq!(owner.get(&service, &path).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn each_change_of_an_endpoint_is_on_record_without_its_secrets(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::guarded(&database).await;
    let admin = Key::make(&service, None, &[Scope::Admin]).await;
    admin.create(&service, "team").await;
    let owner = Key::make(&service, Some("team"), &[Scope::EndpointsWrite]).await;
    let new = json!({"project": "team", "url": "https://ci.example.com/hook?token=s3cr3t"});
    let made = owner.post(&service, "/api/v1/endpoints", &new).await.json();
    let id = made["id"].as_str().expect("an id");
    let path = format!("/api/v1/endpoints/{id}");
    let change = json!({"events": ["build.failed"], "enabled": false});
    let changed = owner.send(&service, Method::PATCH, &path, Some(&change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let rotation = json!({"overlap_seconds": 60});
    let rotated = owner
        .post(&service, &format!("{path}/rotate"), &rotation)
        .await
        .json();
    for _ in 0..2 {
        owner.send(&service, Method::DELETE, &path, None).await;
    }

    let log = admin.get(&service, "/api/v1/audit?limit=4").await;
    for secret in [&made["secret"], &rotated["secret"], &json!("s3cr3t")] {
        assert!(
            !log.text().contains(secret.as_str().expect("a secret")),
            "{log:?}"
        );
    }
    let entries = log.json()["entries"].as_array().expect("a list").clone();
    let actions: Vec<&str> = entries
        .iter()
        .map(|one| one["action"].as_str().expect("an action"))
        .collect();
    assert_eq!(
        actions,
        [
            "endpoint.removed",
            "endpoint.secret_rotated",
            "endpoint.changed",
            "endpoint.created"
        ],
        "a removal that did not take place is not there"
    );
    for entry in &entries {
        assert_eq!(
            (&entry["subject"], &entry["project"]),
            (&json!(id), &json!("team"))
        );
        assert_eq!(entry["token_id"], json!(owner.token.id));
    }
    let (removed, rotated, changed, created) = (&entries[0], &entries[1], &entries[2], &entries[3]);
    assert_eq!(
        (&created["before"], &created["after"]),
        (&Value::Null, &changed["before"])
    );
    assert_eq!(changed["before"]["url"], "https://ci.example.com/hook?…");
    assert_eq!(changed["before"]["enabled"], true);
    assert_eq!(
        (&changed["after"]["enabled"], &changed["after"]["events"]),
        (&json!(false), &json!(["build.failed"]))
    );
    assert_eq!(rotated["after"], rotation);
    assert_eq!(
        (&removed["before"], &removed["after"]),
        (&changed["after"], &Value::Null)
    );
}

#[sqlx::test(migrations = false)]
async fn changes_of_an_endpoint_at_once_are_all_kept(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let endpoint = made(&service, &json!({"url": URL})).await;
    let path = format!("/api/v1/endpoints/{}", endpoint["id"].as_str().expect("an id"));
    let changes = [
        json!({"url": "https://other.example.com/"}),
        json!({"events": ["build.failed"]}),
        json!({"description": "ours"}),
        json!({"enabled": false}),
    ];
    let answers = futures::future::join_all(changes.iter().map(|change| patch(&service, &path, change)));
    for answer in answers.await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let now = service.get(&path).await.json();
    for change in &changes {
        for (field, value) in change.as_object().expect("an object") {
            assert_eq!(&now[field], value, "{now}");
        }
    }
}
