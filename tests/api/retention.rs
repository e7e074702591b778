//! What is kept for its time, and what becomes of it then.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;
use slipway::{
    blobs::{Blobs, LogArchive},
    domain::{BuildId, ContextId, Outcome, Phase, SystemClock},
    retention::{Options, Retention, Swept},
    store::LogKey,
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    api::harness::{Answer, Harness, request, storage, wanted},
    api::logs::attempt,
};

pub const DAY: Duration = Duration::from_secs(86_400);

/// Everything is kept for ever.
pub const KEEP: Options = Options {
    builds: None,
    logs: None,
    events: None,
    contexts: None,
    idempotency_keys: None,
    notifications: None,
    deliveries: None,
    archive_after: DAY,
    interval: Duration::from_secs(600),
};

/// Retention over the same database and folders as the service.
pub fn retention(service: &Harness, options: Options) -> Retention {
    let archive = LogArchive::new(archive(service));
    let contexts = storage(service.folder.path());
    Retention::new(
        service.store.clone(),
        contexts,
        Some(archive),
        options,
        Arc::new(SystemClock),
    )
}

fn archive(service: &Harness) -> Blobs {
    storage(&service.folder.path().join("archive"))
}

pub async fn sweep(service: &Harness, options: Options) -> Swept {
    let swept = retention(service, options).sweep_once().await.unwrap();
    swept.expect("nobody else sweeps")
}

/// Files in one of the storages' folders.
pub fn files(service: &Harness, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(service.folder.path().join(folder));
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

/// Makes everything in the database older. Its ids stay young, so they are made to count as old: that rows are found
/// by their ids is for another test.
async fn age(pool: &PgPool, by: Duration) {
    for statement in [
        "UPDATE builds SET finished_at = finished_at - make_interval(secs => $1)",
        "UPDATE contexts SET created_at = created_at - make_interval(secs => $1)",
    ] {
        let aged = sqlx::query(statement).bind(by.as_secs_f64());
        aged.execute(pool).await.unwrap();
    }
    let every_id = "CREATE OR REPLACE FUNCTION first_id_at(at timestamptz) RETURNS uuid LANGUAGE sql STABLE
        RETURN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid";
    sqlx::query(every_id).execute(pool).await.unwrap();
}

/// A build that ran, wrote this, and succeeded.
async fn finished(service: &Harness, log: &[u8]) -> BuildId {
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let running = Outcome::Running {
        phase: Phase::Building,
    };
    let store = &service.store;
    store.observe(id, &running, &[attempt("pod-a")], 0).await.unwrap();
    for (n, piece) in log.chunks(100_000).enumerate() {
        assert!(
            store
                .append_log(id, "pod-a", n as u64 * 100_000, piece)
                .await
                .unwrap()
        );
    }
    store.complete_log(id, "pod-a").await.unwrap();
    let ended = Outcome::Succeeded { digest: None };
    assert!(store.finish(id, &ended, &[], 0).await.unwrap());
    id
}

fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("line {n:06}, of which there are many\n").into_bytes())
        .collect()
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn upload(service: &Harness) -> ContextId {
    let body = Body::from("FROM scratch\n");
    let request = request(Method::POST, "/api/v1/contexts").header("content-type", "text/plain");
    let made = service.send(request.body(body).unwrap()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.json()["id"].as_str().unwrap().parse().unwrap()
}

fn from_context(context: ContextId) -> serde_json::Value {
    json!({"source": {"upload": {"context_id": context}}, "destinations": ["registry.example/app:1"]})
}

async fn log(service: &Harness, id: BuildId, query: &str) -> Answer {
    service.get(&format!("/api/v1/builds/{id}/logs{query}")).await
}

fn told(answer: &Answer) -> (StatusCode, Vec<String>, &[u8]) {
    let headers = ["attempt", "offset", "total", "complete"].map(|name| {
        let value = answer.header(&format!("slipway-log-{name}"));
        value.unwrap_or("none").to_owned()
    });
    (answer.status, headers.to_vec(), &answer.body)
}

#[sqlx::test(migrations = false)]
async fn a_log_reads_the_same_from_the_archive(pool: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let text = lines(20_000);
    let id = finished(&service, &text).await;
    let queries = [
        "",
        "?offset=100",
        "?offset=262143&limit=2",
        "?offset=262100&limit=600000",
        "?limit=4194304",
        "?offset=99999999",
        "?tail=3",
        "?tail=12000&limit=4194304",
    ];
    let mut before = Vec::new();
    for query in queries {
        before.push(log(&service, id, query).await);
    }
    assert_eq!(before[4].body, text);
    assert_eq!(sweep(&service, KEEP).await.archived, 0, "it is too young");
    age(&pool, DAY * 2).await;
    assert_eq!(sweep(&service, KEEP).await.archived, 1);
    assert_eq!(count(&pool, "log_chunks").await, 0);
    let objects = files(&service, "archive/logs");
    assert_eq!(objects.len(), 1);
    assert!(objects[0].metadata().unwrap().len() < text.len() as u64 / 4);
    for (query, before) in queries.iter().zip(before) {
        assert_eq!(told(&log(&service, id, query).await), told(&before), "{query}");
    }
    assert!(log(&service, id, "?follow=true").await.body == text);
    assert_eq!(sweep(&service, KEEP).await.archived, 0, "once is enough");
}

#[sqlx::test(migrations = false)]
async fn a_removed_log_is_gone_and_its_build_says_so(pool: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let archived = finished(&service, &lines(1000)).await;
    age(&pool, DAY * 2).await;
    sweep(&service, KEEP).await;
    let here = finished(&service, &lines(1000)).await;
    age(&pool, DAY * 8).await;
    let options = Options {
        logs: Some(DAY * 7),
        ..KEEP
    };
    let swept = sweep(&service, options.clone()).await;
    assert_eq!((swept.logs, swept.archived, swept.failed), (2, 0, 0), "{swept:?}");
    assert_eq!(count(&pool, "logs").await + count(&pool, "log_chunks").await, 0);
    assert!(files(&service, "archive/logs").is_empty());
    for id in [archived, here] {
        for query in ["", "?tail=5", "?attempt=1&offset=7", "?follow=true"] {
            log(&service, id, query).await.is_problem(410, "log_removed");
        }
        let build = service.get(&format!("/api/v1/builds/{id}")).await;
        assert_eq!(build.json()["state"], "succeeded");
    }
    assert_eq!(sweep(&service, options).await.logs, 0);
}

#[sqlx::test(migrations = false)]
async fn a_crash_while_a_log_is_moved_or_removed_is_made_up_for(
    pool: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let text = lines(1000);
    let id = finished(&service, &text).await;
    let key = LogKey {
        build: id,
        attempt: "pod-a".into(),
    };
    age(&pool, DAY * 2).await;
    // Between the object and its record: half a log under its name.
    let archive = LogArchive::new(archive(&service));
    service.store.begin_archive(&key).await.unwrap().unwrap();
    let mut writer = archive.begin(id, "pod-a").await.unwrap();
    writer.write(&text[..100]).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(log(&service, id, "").await.body, text);
    assert_eq!(sweep(&service, KEEP).await.archived, 1);
    assert_eq!(log(&service, id, "").await.body, text);
    // Between the mark and the object, and between the object and the row.
    let options = Options {
        logs: Some(DAY),
        ..KEEP
    };
    service
        .store
        .mark_logs_removed(std::slice::from_ref(&key))
        .await
        .unwrap();
    log(&service, id, "").await.is_problem(410, "log_removed");
    archive.remove(id, "pod-a").await.unwrap();
    let swept = sweep(&service, options).await;
    assert_eq!((swept.logs, swept.failed), (1, 0));
    assert_eq!(count(&pool, "logs").await, 0);
}

#[sqlx::test(migrations = false)]
async fn without_the_archive_what_is_in_it_stays_and_is_asked_for(
    pool: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let id = finished(&service, &lines(10)).await;
    age(&pool, DAY * 2).await;
    sweep(&service, KEEP).await;
    let options = Options {
        builds: Some(DAY),
        ..KEEP
    };
    let contexts = storage(service.folder.path());
    let without = Retention::new(
        service.store.clone(),
        contexts,
        None,
        options,
        Arc::new(SystemClock),
    );
    let swept = without.sweep_once().await.unwrap().unwrap();
    assert_eq!((swept.logs, swept.builds, swept.failed), (0, 0, 1));
    assert_eq!(log(&service, id, "").await.body, lines(10));
    std::fs::remove_dir_all(service.folder.path().join("archive/logs")).unwrap();
    log(&service, id, "").await.is_problem(500, "internal");
}

#[sqlx::test(migrations = false)]
async fn a_context_stays_as_long_as_its_builds_may_be_built_again(
    pool: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let options = Options {
        contexts: Some(DAY * 14),
        ..KEEP
    };
    let context = upload(&service).await;
    let unused = upload(&service).await;
    let first = service.create(&from_context(context)).await;
    age(&pool, DAY * 15).await;
    let swept = sweep(&service, options.clone()).await;
    assert_eq!((swept.contexts, swept.objects), (1, 1), "a live build needs one");
    service
        .get(&format!("/api/v1/contexts/{unused}"))
        .await
        .is_problem(404, "not_found");
    service
        .post(&format!("/api/v1/builds/{first}/cancel"), &json!(null))
        .await;
    assert_eq!(sweep(&service, options.clone()).await.contexts, 0);
    let path = format!("/api/v1/builds/{first}/rebuild");
    let again = service.post(&path, &json!(null)).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:?}");
    let again = again.json()["id"].as_str().unwrap().to_owned();
    service
        .post(&format!("/api/v1/builds/{again}/cancel"), &json!(null))
        .await;
    age(&pool, DAY * 15).await;
    let swept = sweep(&service, options).await;
    assert_eq!((swept.contexts, swept.objects), (1, 1));
    assert!(files(&service, "contexts").is_empty());
    let gone = service.post(&path, &json!(null)).await;
    let gone = gone.is_problem(409, "context_gone");
    assert!(
        gone["detail"].as_str().unwrap().contains("upload it again"),
        "{gone}"
    );
    service
        .post("/api/v1/builds", &from_context(context))
        .await
        .is_problem(422, "validation_failed");
}

#[sqlx::test(migrations = false)]
async fn what_a_broken_upload_left_is_removed_after_a_day(pool: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    let kept = upload(&service).await;
    // The process was killed after the bytes were stored, and before their row was.
    let lost = ContextId::generate();
    service.store.begin_context(lost).await.unwrap();
    let path = |id: ContextId| service.folder.path().join(format!("contexts/{id}.tar.gz"));
    std::fs::copy(path(kept), path(lost)).unwrap();
    assert_eq!(sweep(&service, KEEP).await.objects, 0);
    sqlx::query("UPDATE loose_objects SET due_at = due_at - interval '24 h'")
        .execute(&pool)
        .await
        .unwrap();
    let project = "default".parse().unwrap();
    let late = service
        .store
        .add_context(lost, &project, 1, [0; 32])
        .await
        .unwrap();
    assert!(late.is_none(), "its bytes may be gone");
    assert_eq!(sweep(&service, KEEP).await.objects, 1);
    assert_eq!(files(&service, "contexts"), [path(kept)]);
    assert_eq!(count(&pool, "loose_objects").await, 0);
}

#[sqlx::test(migrations = false)]
async fn of_two_sweepers_one_sweeps(pool: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let pool = pool.connect_with(database).await.unwrap();
    for _ in 0..20 {
        finished(&service, b"text\n").await;
    }
    age(&pool, DAY * 2).await;
    let options = Options {
        builds: Some(DAY),
        ..KEEP
    };
    let sweepers: Vec<Retention> = (0..4).map(|_| retention(&service, options.clone())).collect();
    let swept = futures::future::join_all(sweepers.iter().map(Retention::sweep_once)).await;
    let swept: Vec<Swept> = swept.into_iter().filter_map(|swept| swept.unwrap()).collect();
    assert!(!swept.is_empty());
    assert_eq!(swept.iter().map(|swept| swept.builds).sum::<u64>(), 20);
    assert_eq!(swept.iter().map(|swept| swept.logs).sum::<u64>(), 20);
    assert!(swept.iter().all(|swept| swept.failed == 0), "{swept:?}");
    assert_eq!(count(&pool, "builds").await, 0);
}
