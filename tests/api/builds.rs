//! Builds: created, found, cancelled, built again.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway::domain::{AttemptSeen, BuildId, Digest, Failure, Outcome, Reason};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::api::harness::{Answer, Harness, request, settled, wanted};

const BUILDS: &str = "/api/v1/builds";

fn path(id: impl std::fmt::Display) -> String {
    format!("{BUILDS}/{id}")
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("it has an id").to_owned()
}

#[sqlx::test(migrations = false)]
async fn a_build_is_created_and_found(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let created = service
        .post(
            BUILDS,
            &json!({
                "project": "web",
                "source": {"git": {"url": "https://git.example/team/app.git", "ref": "main", "sub_path": "server"}},
                "dockerfile": "deploy/Dockerfile",
                "destinations": ["registry.example/team/app:1", "registry.example/team/app:latest"],
                "build_args": {"VERSION": "1"},
                "target": "final",
                "labels": {"org.opencontainers.image.source": "https://git.example/team/app"},
                "platform": "linux/amd64",
                "cache": {"enabled": true, "repository": "registry.example/cache", "ttl_seconds": 3600},
                "priority": 5,
                "timeout_seconds": 600,
                "max_retries": 1,
                "resources": {"cpu": "500m", "memory": "1Gi"},
                "annotations": {"ticket": "42"},
            }),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED);
    let location = created.header("location").expect("it has an address");
    assert_eq!(location, path(id(&created)));
    insta::assert_json_snapshot!("created", settled(created.json()));
    let found = service.get(location).await;
    assert_eq!(found.status, StatusCode::OK);
    let mut found = found.json();
    assert_eq!(found["queue"]["position"], 1);
    // Its place is not looked for while it is being created.
    found["queue"] = Value::Null;
    assert_eq!(found, created.json());
}

#[sqlx::test(migrations = false)]
async fn what_a_request_leaves_out_has_its_default(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let created = service.post(BUILDS, &wanted()).await;
    insta::assert_json_snapshot!("defaults", settled(created.json())["spec"]);
}

#[sqlx::test(migrations = false)]
async fn the_same_key_gives_the_same_build(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let key = [("idempotency-key", "push-1")];
    let first = service.post_with(BUILDS, &wanted(), &key).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = service.post_with(BUILDS, &wanted(), &key).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json(), first.json());
    let mut other = wanted();
    other["priority"] = json!(1);
    service
        .post_with(BUILDS, &other, &key)
        .await
        .is_problem(422, "idempotency_key_reused");
    assert_eq!(
        service.get(BUILDS).await.json()["builds"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    for bad in ["", "a b", "ü", &"x".repeat(256)] {
        let problem = service
            .post_with(BUILDS, &wanted(), &[("idempotency-key", bad)])
            .await;
        let problem = problem.is_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "idempotency-key", "{bad}");
    }
}

#[sqlx::test(migrations = false)]
async fn an_answer_that_the_client_has_is_not_sent_again(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let created = service.post(BUILDS, &wanted()).await;
    assert!(created.header("etag").is_some());
    let found = service.get(&path(id(&created))).await;
    let tag = found.header("etag").expect("it has a tag").to_owned();
    let ask = || {
        let request = request(Method::GET, &path(id(&created))).header("if-none-match", &tag);
        service.send(request.body(axum::body::Body::empty()).unwrap())
    };
    let known = ask().await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.header("etag"), Some(tag.as_str()));
    assert!(known.body.is_empty());
    service.launch(id(&created).parse().unwrap()).await;
    let changed = ask().await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.json()["state"], "running");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[sqlx::test(migrations = false)]
async fn lists_go_on_from_page_to_page(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(service.create(&wanted()).await.to_string());
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut next = Some(format!("{BUILDS}?limit=2&project=default&state=queued,running"));
    let mut pages = 0;
    while let Some(page) = next {
        let page = service.get(&page).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let body = page.json();
        for build in body["builds"].as_array().expect("it is a list") {
            assert!(build.get("attempts").is_none());
            seen.push(build["id"].as_str().expect("it has an id").to_owned());
        }
        next = page.header("link").map(|link| {
            let (address, relation) = link.split_once(">; ").expect("it is a link");
            assert_eq!(relation, "rel=\"next\"");
            address.trim_start_matches('<').to_owned()
        });
        assert_eq!(next.is_some(), body["next_cursor"].is_string());
        if let Some(next) = &next {
            assert!(
                next.contains("project=default") && next.contains("state=queued%2Crunning"),
                "{next}"
            );
        }
        pages += 1;
    }
    assert_eq!((seen, pages), (made, 3));
}

#[sqlx::test(migrations = false)]
async fn lists_are_filtered(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let mut web = wanted();
    web["project"] = json!("web");
    web["source"]["git"]["ref"] = json!("v1");
    web["destinations"] = json!(["registry.example/web:1"]);
    let (app, web) = (service.create(&wanted()).await, service.create(&web).await);
    service.launch(web).await;
    let both = [app, web];
    let cases: [(&str, &[BuildId]); 12] = [
        ("", &both),
        ("project=web", &[web]),
        ("project=nobody", &[]),
        ("repository=registry.example/web", &[web]),
        ("repository=registry.example/we", &[]),
        ("state=launching", &[app]),
        ("state=running&state=launching,queued", &both),
        ("state=failed", &[]),
        ("ref=v1", &[web]),
        ("created_from=2000-01-01T00:00:00Z", &both),
        ("created_before=2000-01-01T00:00:00%2B02:00", &[]),
        (
            "created_from=0001-01-01T00:00:00Z&created_before=9999-01-01T00:00:00Z",
            &both,
        ),
    ];
    for (query, expected) in cases {
        let page = service.get(&format!("{BUILDS}?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {page:?}");
        let found: BTreeSet<String> = page.json()["builds"]
            .as_array()
            .expect("it is a list")
            .iter()
            .map(|build| build["id"].as_str().expect("it has an id").to_owned())
            .collect();
        assert_eq!(
            found,
            expected.iter().map(BuildId::to_string).collect(),
            "{query}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn a_queued_build_is_cancelled_at_once(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    for _ in 0..2 {
        let cancelled = service.post(&format!("{}/cancel", path(id)), &Value::Null).await;
        assert_eq!(cancelled.status, StatusCode::OK);
        assert_eq!(cancelled.json()["state"], "cancelled");
    }
    let events = service.get(&format!("{}/events", path(id))).await.json();
    insta::assert_json_snapshot!("cancelled_events", settled(events));
}

#[sqlx::test(migrations = false)]
async fn a_running_build_is_cancelling_until_its_pod_is_gone(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    for _ in 0..2 {
        let cancelled = service.post(&format!("{}/cancel", path(id)), &Value::Null).await;
        assert_eq!(cancelled.status, StatusCode::ACCEPTED);
        assert_eq!(cancelled.json()["state"], "cancelling");
    }
    assert!(service.store.cancelled(id).await.unwrap());
    let again = service.post(&format!("{}/cancel", path(id)), &Value::Null).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn a_failed_build_says_why_and_cannot_be_cancelled(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let failure = Failure {
        exit_code: Some(1),
        log_snippet: Some("error building image".into()),
        ..Failure::new(Reason::BuildStepFailed, "RUN false ended with status 1")
    };
    let attempt = AttemptSeen {
        name: "build-1-abcde".into(),
        node: Some("node-1".into()),
        started_at: Some("2026-11-24T00:00:00Z".parse().unwrap()),
        finished_at: Some("2026-11-24T00:01:00Z".parse().unwrap()),
        exit_code: Some(1),
        failure: Some(failure.clone()),
        running: false,
        succeeded: false,
    };
    assert!(
        service
            .store
            .finish(id, &Outcome::Failed(failure), &[attempt], 1)
            .await
            .unwrap()
    );
    insta::assert_json_snapshot!("failed", settled(service.get(&path(id)).await.json()));
    let attempts = service.get(&format!("{}/attempts", path(id))).await.json();
    assert_eq!(
        attempts["attempts"],
        service.get(&path(id)).await.json()["attempts"]
    );
    let refused = service.post(&format!("{}/cancel", path(id)), &Value::Null).await;
    refused.is_problem(409, "build_ended");
}

#[sqlx::test(migrations = false)]
async fn a_succeeded_build_names_its_digest(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let outcome = Outcome::Succeeded {
        digest: Some(digest.clone()),
    };
    assert!(service.store.finish(id, &outcome, &[], 0).await.unwrap());
    let build = service.get(&path(id)).await.json();
    assert_eq!(
        (&build["state"], &build["digest"]),
        (&json!("succeeded"), &json!(digest.as_str()))
    );
}

#[sqlx::test(migrations = false)]
async fn what_a_build_waits_for_is_shown(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let outcome = Outcome::Waiting {
        reason: Some(Reason::Unschedulable),
        message: Some("0/1 nodes are available".into()),
    };
    service.store.observe(id, &outcome, &[], 0).await.unwrap();
    let build = service.get(&path(id)).await.json();
    assert_eq!(build["phase"], "pending");
    assert_eq!(
        build["waiting"],
        json!({"reason": "unschedulable", "message": "0/1 nodes are available"})
    );
}

#[sqlx::test(migrations = false)]
async fn a_build_can_be_asked_for_again(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let old = service.create(&wanted()).await;
    let rebuild = format!("{}/rebuild", path(old));
    let new = service
        .post_with(&rebuild, &Value::Null, &[("idempotency-key", "k")])
        .await;
    assert_eq!(new.status, StatusCode::CREATED);
    assert_eq!(new.header("location"), Some(path(id(&new)).as_str()));
    let body = new.json();
    assert_eq!(body["rebuild_of"], old.to_string());
    assert_eq!(body["spec"], service.get(&path(old)).await.json()["spec"]);
    let again = service
        .post_with(&rebuild, &Value::Null, &[("idempotency-key", "k")])
        .await;
    assert_eq!((again.status, id(&again)), (StatusCode::OK, id(&new)));
    // The same build asked for by itself is another request.
    let other = service
        .post_with(BUILDS, &wanted(), &[("idempotency-key", "k")])
        .await;
    other.is_problem(422, "idempotency_key_reused");
}

#[sqlx::test(migrations = false)]
async fn what_is_missing_is_missing_everywhere(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    for id in [
        BuildId::generate().to_string(),
        "1".into(),
        "..%2F..".into(),
        "%00".into(),
    ] {
        for below in ["", "/attempts", "/events", "/logs"] {
            service
                .get(&format!("{}{below}", path(&id)))
                .await
                .is_problem(404, "not_found");
        }
        for below in ["/cancel", "/rebuild"] {
            let path = format!("{}{below}", path(&id));
            service
                .post(&path, &Value::Null)
                .await
                .is_problem(404, "not_found");
        }
        let context = format!("/api/v1/contexts/{id}");
        service.get(&context).await.is_problem(404, "not_found");
    }
}
