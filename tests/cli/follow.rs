//! A build that is followed from its beginning to its end.

use std::{
    io::{BufRead, BufReader},
    process::Child,
};

use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cli::world::{PATIENCE, Stage, ended, interrupt};

const BUILD: [&str; 5] = [
    "build",
    "https://git.example.com/team/app.git",
    "-t",
    "registry.example.com/team/app:1",
    "--follow",
];

/// The build's log has come to a line that the command has shown.
async fn shown(stage: &Stage, id: BuildId, child: &mut Child) {
    stage.write(id, "pod-a", b"hello\n").await;
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        out.read_line(&mut line).map(|_| line)
    });
    let line = tokio::time::timeout(PATIENCE, line)
        .await
        .expect("it comes in time");
    assert_eq!(
        line.expect("it is waited for").expect("it can be read"),
        "hello\n"
    );
}

async fn begun(stage: &Stage, child: &mut Child) -> BuildId {
    let id = tokio::time::timeout(PATIENCE, stage.created())
        .await
        .expect("it is created");
    stage.launch(id).await;
    stage.attempts(id, &["pod-a"]).await;
    shown(stage, id, child).await;
    id
}

#[sqlx::test(migrations = false)]
async fn the_log_comes_and_a_failed_build_fails_the_command(_: PgPoolOptions, database: PgConnectOptions) {
    let mut stage = Stage::set(&database).await;
    let mut child = stage.cli(&BUILD).start();
    let id = begun(&stage, &mut child).await;
    stage.stop().await;
    stage.resume().await;
    stage.whole(id, "pod-a").await;
    stage.fail(id).await;
    let ran = ended(child).await;
    ran.failed(1, "failed");
    ran.failed(1, "`RUN make` failed with exit status 2");
    ran.failed(
        1,
        "(build_step_failed, a matter of the Dockerfile, the source or the request)",
    );
}

#[sqlx::test(migrations = false)]
async fn for_programs_the_result_is_the_build_and_the_log_goes_beside_it(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let stage = Stage::set(&database).await;
    let child = stage.cli(&[&BUILD[..], &["-o", "json"]].concat()).start();
    let id = tokio::time::timeout(PATIENCE, stage.created())
        .await
        .expect("it is created");
    stage.launch(id).await;
    for attempt in [&["pod-a"][..], &["pod-a", "pod-b"]] {
        stage.attempts(id, attempt).await;
        let name = attempt[attempt.len() - 1];
        stage.write(id, name, format!("log of {name}\n").as_bytes()).await;
        stage.whole(id, name).await;
    }
    stage.succeed(id).await;
    let ran = ended(child).await;
    ran.ok();
    assert_eq!(ran.json()["state"], "succeeded");
    assert_eq!(ran.json()["id"], id.to_string());
    let log: Vec<&str> = ran
        .err()
        .lines()
        .filter(|line| line.contains("log of") || line.contains("slipway:"))
        .collect();
    assert_eq!(
        log,
        ["log of pod-a", "[slipway: attempt 2]", "log of pod-b"],
        "{}",
        ran.err()
    );
}

#[sqlx::test(migrations = false)]
async fn ctrl_c_leaves_the_build_to_itself(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let mut child = stage.cli(&BUILD).start();
    let id = begun(&stage, &mut child).await;
    interrupt(&child);
    let ran = ended(child).await;
    ran.failed(
        130,
        &format!("The build goes on. `slipway logs -f {id}` follows it, `slipway cancel {id}` stops it."),
    );
    let build = stage
        .store
        .build(id)
        .await
        .expect("it can be read")
        .expect("it is there");
    assert_eq!(build.state, State::Running);
}

#[sqlx::test(migrations = false)]
async fn ctrl_c_cancels_the_build_if_that_was_asked_for(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let mut child = stage
        .cli(&[&BUILD[..], &["--cancel-on-interrupt"]].concat())
        .start();
    let id = begun(&stage, &mut child).await;
    interrupt(&child);
    let cancelling = async {
        loop {
            let build = stage
                .store
                .build(id)
                .await
                .expect("it can be read")
                .expect("it is there");
            if build.state == State::Cancelling {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cancelling)
        .await
        .expect("it is cancelled");
    stage.whole(id, "pod-a").await;
    assert!(stage.store.cancelled(id).await.expect("it is recorded"));
    let ran = ended(child).await;
    ran.failed(130, "cancelling the build");
    ran.failed(130, "cancelled");
}

#[tokio::test]
async fn ctrl_c_before_the_build_is_queued_ends_the_command() {
    // A service that takes everything and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let server = format!("http://{}", listener.local_addr().expect("it has an address"));
    let child = crate::cli::world::cli(&server, &BUILD).start();
    let asked = tokio::time::timeout(PATIENCE, listener.accept()).await;
    let _connection = asked.expect("it asks in time").expect("it asks");
    interrupt(&child);
    ended(child)
        .await
        .failed(130, "interrupted before the build was queued");
}
