//! Endpoints from the command line: made, changed, tried, and what they were told.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{Router, http::StatusCode, routing::post};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;

use crate::cli::world::{Idle, PATIENCE, cli};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Something that is called, and answers what it is told to.
async fn receiver() -> (String, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(204));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let told = Arc::clone(&answer);
    let answering =
        move || async move { StatusCode::from_u16(told.load(Ordering::SeqCst)).expect("it is a status") };
    let app = Router::new().route("/hook", post(answering));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, answer)
}

#[sqlx::test(migrations = false)]
async fn an_endpoint_is_made_changed_tried_and_removed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Idle::up_with(&database, &[("SLIPWAY_CALLBACK_ALLOW", "127.0.0.0/8")]).await;
    let (url, answer) = receiver().await;
    let made = [
        "endpoint",
        "create",
        &url,
        "-p",
        "team",
        "--event",
        "build.failed",
        "--description",
        "our CI",
        "--secret-file",
        "-",
    ];
    let made = cli(&service.service.url(""), &made)
        .run_with(format!("{SECRET}\n").as_bytes())
        .await;
    assert!(
        made.ok().ends_with(&format!("secret: {SECRET}")),
        "{}",
        made.out()
    );
    let id = made
        .out()
        .lines()
        .next()
        .expect("a line")
        .trim_start_matches("id:     ");

    let listed = service.run(&["endpoint", "list", "-p", "team"]).await;
    let row = listed.ok().lines().nth(1).expect("a row");
    assert!(
        row.starts_with(id) && row.contains(&url) && row.contains("on"),
        "{row}"
    );
    assert!(row.ends_with("build.failed"), "{row}");
    assert_eq!(service.run(&["endpoint", "list"]).await.ok().lines().count(), 1);

    let update = [
        "endpoint",
        "update",
        id,
        "--event",
        "build.queued,build.succeeded",
        "--disable",
    ];
    let changed = service.run(&update).await;
    assert!(changed.ok().contains("\"enabled\": false"), "{}", changed.out());
    service.run(&["endpoint", "update", id]).await.failed(2, "--url");
    let refused = service.run(&["endpoint", "test", id]).await;
    refused.failed(2, "endpoint_disabled");
    service.run(&["endpoint", "update", id, "--enable"]).await.ok();
    let shown = service.run(&["endpoint", "show", id]).await;
    assert!(shown.ok().contains("\"description\": \"our CI\"") && !shown.out().contains(SECRET));

    let tested = service.run(&["endpoint", "test", id]).await;
    tested.ok();
    assert!(tested.err().contains("was taken: 204 in "), "{}", tested.err());
    answer.store(500, Ordering::SeqCst);
    let tested = service.run(&["endpoint", "test", id]).await;
    tested.failed(1, "was not taken: 500, it answered with an error");

    let rotated = service.run(&["endpoint", "rotate", id, "--overlap", "0s"]).await;
    assert!(rotated.ok().contains("secret: whsec_") && !rotated.out().contains(SECRET));
    service.run(&["endpoint", "delete", id]).await.ok();
    for gone in ["show", "test", "notifications", "delete"] {
        service
            .run(&["endpoint", gone, id])
            .await
            .failed(2, "no such endpoint");
    }
}

#[sqlx::test(migrations = false)]
async fn what_an_endpoint_was_told_is_listed_and_sent_again(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Idle::up_with(&database, &[("SLIPWAY_CALLBACK_ALLOW", "127.0.0.0/8")]).await;
    let (url, answer) = receiver().await;
    answer.store(503, Ordering::SeqCst);
    let made = service
        .run(&["endpoint", "create", &url, "-p", "team", "--output", "json"])
        .await;
    made.ok();
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let build = [
        "build",
        "https://git.example/team/app.git",
        "-t",
        "registry.example/team/app:1",
        "-p",
        "team",
    ];
    let build = service.run(&build).await.ok().to_owned();

    let oldest = first_tried(&service, &id).await;
    assert_eq!(
        (oldest["type"].as_str(), oldest["build_id"].as_str()),
        (Some("build.queued"), Some(&*build))
    );
    let number = oldest["id"].to_string();
    answer.store(200, Ordering::SeqCst);
    let again = service.run(&["endpoint", "redeliver", &id, &number]).await;
    again.ok();
    assert!(
        again.err().contains(&format!("{number} was taken: 200")),
        "{}",
        again.err()
    );
    let later = service
        .run(&["endpoint", "redeliver", &id, &number, "--wait", "0s"])
        .await;
    later.ok();
    assert!(later.err().contains("will be sent"), "{}", later.err());
    service
        .run(&["endpoint", "redeliver", &id, "999999"])
        .await
        .failed(2, "no such notification");

    let listed = service.run(&["endpoint", "notifications", &id]).await;
    let row = listed
        .ok()
        .lines()
        .find(|row| row.starts_with(&format!("{number} ")))
        .expect("it is there");
    assert!(row.contains("build.queued") && row.contains(&build), "{row}");
    let first = service.run(&["endpoint", "notifications", &id, "-n", "1"]).await;
    assert_eq!(first.ok().lines().count(), 2, "{}", first.out());
    assert!(first.err().contains("--cursor "), "{}", first.err());
}

/// The oldest notification of an endpoint, once it was tried.
async fn first_tried(service: &Idle, id: &str) -> Value {
    let looking = async {
        loop {
            let told = service
                .run(&["endpoint", "notifications", id, "--output", "json"])
                .await
                .json();
            let oldest = told["notifications"].as_array().expect("a list").last().cloned();
            if let Some(oldest) = oldest.filter(|one| one["tries"][0].is_object()) {
                return oldest;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .expect("it is tried in time")
}
