//! Logs, read as text by offset.

use http::StatusCode;
use slipway::domain::{AttemptSeen, BuildId, Outcome, Phase};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::api::harness::{Answer, Harness, wanted};

pub fn attempt(name: &str) -> AttemptSeen {
    AttemptSeen {
        name: name.into(),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    }
}

async fn read(service: &Harness, id: BuildId, query: &str) -> Answer {
    let answer = service.get(&format!("/api/v1/builds/{id}/logs{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    answer
}

fn headers(answer: &Answer) -> [&str; 4] {
    ["attempt", "offset", "total", "complete"].map(|name| {
        answer
            .header(&format!("slipway-log-{name}"))
            .expect("the header is there")
    })
}

#[sqlx::test(migrations = false)]
async fn a_log_is_read_piece_by_piece(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    let none = read(&service, id, "").await;
    assert_eq!((none.text(), headers(&none)), ("", ["0", "0", "0", "false"]));

    service.launch(id).await;
    let running = Outcome::Running {
        phase: Phase::Building,
    };
    service
        .store
        .observe(id, &running, &[attempt("pod-a")], 0)
        .await
        .unwrap();
    assert!(
        service
            .store
            .append_log(id, "pod-a", 0, b"one <script>\n\x1b[31mtwo\n")
            .await
            .unwrap()
    );
    let all = read(&service, id, "").await;
    assert_eq!(all.text(), "one <script>\n\u{1b}[31mtwo\n");
    assert_eq!(headers(&all), ["1", "0", "22", "false"]);
    let piece = read(&service, id, "?offset=4&limit=8").await;
    assert_eq!(
        (piece.text(), headers(&piece)),
        ("<script>", ["1", "4", "22", "false"])
    );

    service.store.complete_log(id, "pod-a").await.unwrap();
    let past = read(&service, id, "?offset=9223372036854775807").await;
    assert_eq!(
        (past.text(), headers(&past)),
        ("", ["1", "9223372036854775807", "22", "true"])
    );
}

#[sqlx::test(migrations = false)]
async fn the_latest_attempt_is_shown_unless_another_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let running = Outcome::Running {
        phase: Phase::Building,
    };
    let pods = [attempt("pod-a"), attempt("pod-b")];
    service.store.observe(id, &running, &pods, 1).await.unwrap();
    for (pod, text) in [("pod-a", "first"), ("pod-b", "second")] {
        assert!(
            service
                .store
                .append_log(id, pod, 0, text.as_bytes())
                .await
                .unwrap()
        );
    }
    assert_eq!(read(&service, id, "").await.text(), "second");
    assert_eq!(read(&service, id, "?attempt=1").await.text(), "first");
    let path = format!("/api/v1/builds/{id}/logs");
    service
        .get(&format!("{path}?attempt=3"))
        .await
        .is_problem(404, "not_found");
    for bad in [
        "attempt=0",
        "attempt=4294967296",
        "offset=-1",
        "limit=0",
        "limit=4194305",
        "follow=1",
    ] {
        service
            .get(&format!("{path}?{bad}"))
            .await
            .is_problem(422, "validation_failed");
    }
}

#[sqlx::test(migrations = false)]
async fn broken_characters_are_passed_on_as_they_are(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let running = Outcome::Running {
        phase: Phase::Building,
    };
    service
        .store
        .observe(id, &running, &[attempt("pod-a")], 0)
        .await
        .unwrap();
    service
        .store
        .append_log(id, "pod-a", 0, b"\xff\xfe\x00ok")
        .await
        .unwrap();
    assert_eq!(read(&service, id, "").await.body, b"\xff\xfe\x00ok");
}

#[sqlx::test(migrations = false)]
async fn a_build_that_never_ran_has_a_whole_empty_log(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service
        .post(&format!("/api/v1/builds/{id}/cancel"), &serde_json::Value::Null)
        .await;
    let log = read(&service, id, "").await;
    assert_eq!((log.text(), headers(&log)), ("", ["0", "0", "0", "true"]));
}
