//! Logs that are followed as they grow: as events, and as text.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use slipway::{
    api::{ApiOptions, ListenerOptions, serve},
    domain::{BuildId, Failure, Outcome, Phase, Reason},
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    api::cut::Cut,
    api::harness::{Harness, address, request, server, wanted},
    api::logs::attempt,
};

/// A build whose attempts run.
async fn running(service: &Harness, attempts: &[&str]) -> BuildId {
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    attempts_are(service, id, attempts).await;
    id
}

async fn attempts_are(service: &Harness, id: BuildId, attempts: &[&str]) {
    let running = Outcome::Running {
        phase: Phase::Building,
    };
    let seen: Vec<_> = attempts.iter().map(|name| attempt(name)).collect();
    service.store.observe(id, &running, &seen, 0).await.unwrap();
}

async fn append(service: &Harness, id: BuildId, attempt: &str, text: &[u8]) {
    let at = service.store.log_length(id, attempt).await.unwrap();
    assert!(service.store.append_log(id, attempt, at, text).await.unwrap());
}

async fn ends(service: &Harness, id: BuildId) {
    let failed = Outcome::Failed(Failure::new(Reason::BuildStepFailed, "exit code 1"));
    assert!(service.store.finish(id, &failed, &[], 0).await.unwrap());
}

fn path(id: BuildId, query: &str) -> String {
    format!("/api/v1/builds/{id}/logs{query}")
}

#[sqlx::test(migrations = false)]
async fn a_log_is_followed_to_its_end(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    append(&service, id, "pod-a", b"one\n").await;
    let mut stream = service.events(&path(id, ""), None).await;
    let first = stream.event().await.unwrap();
    assert_eq!((first.name.as_str(), first.id), ("attempt", None));
    assert_eq!(first.data, json!({"attempt": 1}));
    let one = stream.event().await.unwrap();
    assert_eq!((one.name.as_str(), one.id.as_deref()), ("log", Some("4")));
    assert_eq!(one.data, json!({"attempt": 1, "offset": 0, "text": "one\n"}));
    append(&service, id, "pod-a", b"two\n").await;
    let two = stream.event().await.unwrap();
    assert_eq!(two.id.as_deref(), Some("8"));
    assert_eq!(two.data, json!({"attempt": 1, "offset": 4, "text": "two\n"}));
    service.store.complete_log(id, "pod-a").await.unwrap();
    ends(&service, id).await;
    let (rest, end) = stream.log().await;
    assert_eq!(rest, "");
    let expected = json!({"attempt": 1, "offset": 8, "next_attempt": null, "build_state": "failed"});
    assert_eq!(end, expected);
    // Later, from any byte on, also beyond the end.
    for at in 0..12 {
        let (text, end) = service
            .events(&path(id, &format!("?offset={at}")), None)
            .await
            .log()
            .await;
        assert_eq!(text, "one\ntwo\n"[at.min(8)..], "{at}");
        assert_eq!(end["offset"], 8);
    }
}

#[sqlx::test(migrations = false)]
async fn whoever_comes_back_misses_nothing_and_gets_nothing_twice(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    for seed in 0..5 {
        let mut random = StdRng::seed_from_u64(seed);
        let id = running(&service, &["pod-a"]).await;
        let whole: String = (0..400)
            .map(|n| format!("{n} ☃ {}\n", "é".repeat(random.random_range(0..400))))
            .collect();
        let writer = async {
            let mut rest = whole.as_bytes();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.random_range(1..8000).min(rest.len()));
                append(&service, id, "pod-a", piece).await;
                rest = after;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            service.store.complete_log(id, "pod-a").await.unwrap();
            ends(&service, id).await;
        };
        let reader = async {
            let mut random = StdRng::seed_from_u64(seed + 1000);
            let (mut text, mut at) = (String::new(), None);
            loop {
                let mut stream = service.events(&path(id, "?attempt=1"), at).await;
                for _ in 0..random.random_range(1..6) {
                    let event = stream.event().await.expect("an end is told");
                    match event.name.as_str() {
                        "log" => {
                            assert_eq!(event.data["offset"], at.unwrap_or(0), "seed {seed}");
                            text.push_str(event.data["text"].as_str().unwrap());
                            at = event.id.map(|id| id.parse().unwrap());
                        }
                        "end" => return text,
                        _ => {}
                    }
                }
            }
        };
        let ((), text) = tokio::join!(writer, reader);
        assert!(
            text == whole,
            "seed {seed}: {} of {} bytes",
            text.len(),
            whole.len()
        );
    }
}

#[sqlx::test(migrations = false)]
async fn what_one_replica_writes_is_followed_on_another(_: PgPoolOptions, database: PgConnectOptions) {
    let (here, there) = (Harness::new(&database).await, Harness::new(&database).await);
    let id = running(&here, &["pod-a"]).await;
    let mut stream = there.follow(&path(id, "?follow=true"), &[]).await;
    for n in 0..3 {
        let line = format!("line {n}\n");
        append(&here, id, "pod-a", line.as_bytes()).await;
        assert_eq!(stream.until(&line).await, line);
    }
    here.store.complete_log(id, "pod-a").await.unwrap();
    ends(&here, id).await;
    assert_eq!(stream.rest().await, b"");
}

#[sqlx::test(migrations = false)]
async fn the_end_waits_until_it_is_known_what_follows(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    append(&service, id, "pod-a", b"first").await;
    service.store.complete_log(id, "pod-a").await.unwrap();
    let mut first = service.events(&path(id, ""), None).await;
    let mut text = service.follow(&path(id, "?follow=true"), &[]).await;
    assert_eq!(first.event().await.unwrap().name, "attempt");
    assert_eq!(first.event().await.unwrap().name, "log");
    let waiting = tokio::time::timeout(Duration::from_millis(1500), first.event()).await;
    assert!(waiting.is_err(), "nobody knows yet: {waiting:?}");
    attempts_are(&service, id, &["pod-a", "pod-b"]).await;
    let (_, end) = first.log().await;
    let expected = json!({"attempt": 1, "offset": 5, "next_attempt": 2, "build_state": "running"});
    assert_eq!(end, expected);

    append(&service, id, "pod-b", b"second\n").await;
    service.store.complete_log(id, "pod-b").await.unwrap();
    ends(&service, id).await;
    let (second, end) = service.events(&path(id, "?attempt=2"), None).await.log().await;
    assert_eq!(
        (second.as_str(), &end["next_attempt"]),
        ("second\n", &Value::Null)
    );
    let both = text.until("second\n").await;
    assert_eq!(both, "first\n[slipway: attempt 2]\nsecond\n");
    assert_eq!(text.rest().await, b"", "the text ends with the build");
}

#[sqlx::test(migrations = false)]
async fn a_build_without_attempts_is_waited_for(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    let mut events = service.events(&path(id, "?tail=5"), None).await;
    let mut text = service.follow(&path(id, "?follow=true"), &[]).await;
    service.launch(id).await;
    attempts_are(&service, id, &["pod-a"]).await;
    append(&service, id, "pod-a", b"it begins\n").await;
    assert_eq!(events.event().await.unwrap().data, json!({"attempt": 1}));
    assert_eq!(events.event().await.unwrap().data["text"], "it begins\n");
    assert_eq!(text.until("begins\n").await, "it begins\n");

    let never = service.create(&wanted()).await;
    let events = service.events(&path(never, ""), None).await;
    let text = service.follow(&path(never, "?follow=true"), &[]).await;
    service
        .post(&format!("/api/v1/builds/{never}/cancel"), &Value::Null)
        .await;
    let expected = json!({"attempt": 0, "offset": 0, "next_attempt": null, "build_state": "cancelled"});
    assert_eq!(events.log().await, (String::new(), expected));
    assert_eq!(text.rest().await, b"");
}

#[sqlx::test(migrations = false)]
async fn an_attempt_whose_log_was_lost_does_not_hold_its_readers_for_ever(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    append(&service, id, "pod-a", b"the node went aw\xe2\x98").await;
    ends(&service, id).await;
    let (text, end) = service.events(&path(id, ""), None).await.log().await;
    assert_eq!(text, "the node went aw", "half a character is left out");
    assert_eq!(end["build_state"], "failed");
}

#[sqlx::test(migrations = false)]
async fn the_last_lines_are_read_and_followed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    for piece in ["1\n2\n", "3\n\n", "5", "5\n6\n"] {
        append(&service, id, "pod-a", piece.as_bytes()).await;
    }
    let tail = async |query: &str| {
        let answer = service.get(&path(id, query)).await;
        let offset = answer.header("slipway-log-offset").unwrap().to_owned();
        (answer.text().to_owned(), offset)
    };
    assert_eq!(tail("?tail=0").await, (String::new(), "12".into()));
    assert_eq!(tail("?tail=1").await, ("6\n".into(), "10".into()));
    assert_eq!(tail("?tail=3").await, ("\n55\n6\n".into(), "6".into()));
    assert_eq!(tail("?tail=100000").await.1, "0");
    assert_eq!(tail("?tail=3&limit=4").await, ("5\n6\n".into(), "8".into()));
    append(&service, id, "pod-a", b"unfinished").await;
    assert_eq!(tail("?tail=1").await.0, "unfinished");
    // More chunks than are looked at together.
    for n in 0..40 {
        append(&service, id, "pod-a", format!("\nchunk {n}").as_bytes()).await;
    }
    assert!(tail("?tail=30").await.0.starts_with("chunk 10\n"));
    let mut stream = service.follow(&path(id, "?follow=true&tail=1"), &[]).await;
    assert_eq!(stream.until("39").await, "chunk 39");
    let mut now = service.events(&path(id, "?tail=0"), None).await;
    assert_eq!(now.event().await.unwrap().name, "attempt");
    append(&service, id, "pod-a", b"\nnew").await;
    assert_eq!(now.event().await.unwrap().data["text"], "\nnew");
}

#[sqlx::test(migrations = false)]
async fn what_a_build_prints_is_data(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    let nasty =
        "<script>alert(1)</script>\u{1b}[31m\u{1b}]0;title\u{7}\r\n\ndata: forged\n\nevent: end\n\0☃😀";
    append(&service, id, "pod-a", nasty.as_bytes()).await;
    append(&service, id, "pod-a", b"\xff\xfe|\xf0\x9f|").await;
    // A character that comes in two halves.
    append(&service, id, "pod-a", &"😀".as_bytes()[..2]).await;
    let mut stream = service.events(&path(id, ""), None).await;
    assert_eq!(stream.event().await.unwrap().name, "attempt");
    let mut text = String::new();
    while !text.ends_with("\u{fffd}|") {
        text.push_str(stream.event().await.unwrap().data["text"].as_str().unwrap());
    }
    append(&service, id, "pod-a", &"😀".as_bytes()[2..]).await;
    service.store.complete_log(id, "pod-a").await.unwrap();
    ends(&service, id).await;
    let (rest, _) = stream.log().await;
    assert_eq!(text + &rest, format!("{nasty}\u{fffd}\u{fffd}|\u{fffd}|😀"));
    let mut bytes = nasty.as_bytes().to_vec();
    bytes.extend_from_slice(b"\xff\xfe|\xf0\x9f|");
    bytes.extend_from_slice("😀".as_bytes());
    let text = service.follow(&path(id, "?follow=true"), &[]).await;
    assert_eq!(text.rest().await, bytes, "text is the bytes themselves");
}

#[sqlx::test(migrations = false)]
async fn what_does_not_exist_or_fit_is_refused_before_the_stream_begins(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let id = running(&service, &["pod-a"]).await;
    for (query, status, code) in [
        ("?follow=true&attempt=2", 404, "not_found"),
        ("?follow=yes", 422, "validation_failed"),
        ("?follow=true&limit=10", 422, "validation_failed"),
        ("?offset=1&tail=1", 422, "validation_failed"),
        ("?tail=100001", 422, "validation_failed"),
        ("?tail=-1", 422, "validation_failed"),
    ] {
        service.get(&path(id, query)).await.is_problem(status, code);
    }
    let nobody = BuildId::generate();
    for (id, query, last, status) in [
        (nobody, "", "0", 404),
        (id, "?attempt=2", "0", 404),
        (id, "?limit=10", "0", 422),
        (id, "", "-1", 422),
        (id, "", "x", 422),
        (id, "", "9223372036854775808", 422),
    ] {
        let asked = request(Method::GET, &path(id, query))
            .header("accept", "text/event-stream")
            .header("last-event-id", last)
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            service.send(asked).await.status.as_u16(),
            status,
            "{query} {last}"
        );
    }
    service
        .get(&path(nobody, "?follow=true"))
        .await
        .is_problem(404, "not_found");
}

#[sqlx::test(migrations = false)]
async fn a_stream_too_many_is_put_off(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_streams: 2,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let id = running(&service, &["pod-a"]).await;
    let one = service.events(&path(id, ""), None).await;
    let _two = service.follow(&path(id, "?follow=true"), &[]).await;
    let full = service.get(&path(id, "?follow=true")).await;
    full.is_problem(503, "overloaded");
    assert_eq!(full.header("retry-after"), Some("1"));
    assert_eq!(
        service.get(&path(id, "")).await.status,
        StatusCode::OK,
        "other requests are answered"
    );
    drop(one);
    eventually(async || {
        let asked = request(Method::GET, &path(id, "?follow=true"))
            .body(Body::empty())
            .unwrap();
        service.app.clone().oneshot(asked).await.unwrap().status() == StatusCode::OK
    })
    .await;
}

/// Asks again until it is so.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it is so in the end");
}

#[sqlx::test(migrations = false)]
async fn many_followers_cost_one_reader_and_outlive_a_restart_of_the_database(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    const FOLLOWERS: usize = 100;
    const LINES: usize = 10;
    let host = server().host_str().expect("the server has a host");
    let way = Cut::before(format!("{host}:{}", server().port().unwrap_or(5432))).await;
    let mut url: url::Url = address(&database).parse().unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(way.address.port())).unwrap();
    let (near, far) = (
        Harness::new(&database).await,
        Harness::with(url.as_str(), ApiOptions::default()).await,
    );
    let id = running(&near, &["pod-a"]).await;
    append(&near, id, "pod-a", b"begin\n").await;
    let mut streams = Vec::new();
    for _ in 0..FOLLOWERS {
        streams.push(far.events(&path(id, ""), None).await);
    }
    for stream in &mut streams {
        stream.event().await.unwrap();
        assert_eq!(stream.event().await.unwrap().data["text"], "begin\n");
    }
    for n in 0..LINES {
        if n == LINES / 2 {
            way.cut();
        }
        append(&near, id, "pod-a", format!("{n}\n").as_bytes()).await;
        if n == LINES / 2 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            way.mend();
        }
    }
    near.store.complete_log(id, "pod-a").await.unwrap();
    ends(&near, id).await;
    let whole: String = (0..LINES).map(|n| format!("{n}\n")).collect();
    for stream in streams {
        assert_eq!(stream.log().await.0, whole);
    }
    let sql = PgPool::connect_lazy_with(database);
    // A connection says what it has read when it ends.
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .execute(&sql)
        .await
        .unwrap();
    let mut scans = 0;
    eventually(async || {
        scans = sqlx::query_scalar::<_, i64>(
            "SELECT (idx_scan + seq_scan)::bigint FROM pg_stat_user_tables WHERE relname = 'log_chunks'",
        )
        .fetch_one(&sql)
        .await
        .unwrap();
        scans > 0
    })
    .await;
    assert!(
        scans < 2 * FOLLOWERS as i64,
        "{scans} scans by {FOLLOWERS} followers"
    );
}

#[sqlx::test(migrations = false)]
async fn a_client_that_reads_nothing_is_cut_off(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_streams: 1,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let id = running(&service, &["pod-a"]).await;
    // More than the buffers of a connection hold.
    append(&service, id, "pod-a", &vec![b'x'; 16 << 20]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let brief = ListenerOptions {
        write_timeout: Duration::from_millis(200),
        ..ListenerOptions::default()
    };
    tokio::spawn(serve(
        listener,
        service.app.clone(),
        brief,
        stop.clone(),
        stop.clone(),
    ));
    let mut client = tokio::net::TcpStream::connect(place).await.unwrap();
    let asked = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path(id, "?follow=true"));
    client.write_all(asked.as_bytes()).await.unwrap();
    // Nothing else asks until then: whoever did would hold the only stream, or come when it is free again.
    let mut head = [0; 12];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200", "it has the only stream");
    eventually(async || {
        let asked = request(Method::GET, &path(id, "?follow=true"))
            .body(Body::empty())
            .unwrap();
        service.app.clone().oneshot(asked).await.unwrap().status() == StatusCode::OK
    })
    .await;
    let mut taken = Vec::new();
    // Whether it ends or is reset, what was not sent by then is not sent any more.
    let ends = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut taken));
    let _ = ends.await.expect("the connection ends");
    assert!(taken.len() < 16 << 20, "cut off, not served to its end");
    stop.cancel();
}
