//! Logs, read and followed.

use std::process::{Command, Stdio};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cli::world::{PATIENCE, Stage, ended};

/// Whatever a container may write.
const WILD: &[u8] = b"one \xff\xfe\x00 <script>\r\n\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jend\n";

#[sqlx::test(migrations = false)]
async fn in_a_pipe_a_log_is_the_containers_own_bytes(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let id = stage.running().await;
    let none = stage.cli(&["logs", &id.to_string()]).run().await;
    assert_eq!(none.ok(), "");
    // More than one page.
    let long: Vec<u8> = WILD.iter().copied().cycle().take(1_500_000).collect();
    stage.write(id, "pod-a", &long).await;
    let read = stage.cli(&["logs", &id.to_string()]).run().await;
    assert!(
        read.bytes() == long,
        "{} of {} bytes",
        read.bytes().len(),
        long.len()
    );

    let follow = stage.cli(&["logs", "-f", &id.to_string()]).start();
    stage.write(id, "pod-a", b"the end\n").await;
    stage.whole(id, "pod-a").await;
    stage.fail(id).await;
    let followed = ended(follow).await;
    let whole = [&long[..], b"the end\n"].concat();
    assert!(
        followed.bytes() == whole,
        "{} of {} bytes",
        followed.bytes().len(),
        whole.len()
    );
    assert_eq!(
        followed.code(),
        Some(0),
        "the log was read, whatever became of the build"
    );
}

#[sqlx::test(migrations = false)]
async fn a_log_is_followed_from_attempt_to_attempt(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let id = stage.running().await;
    let follow = stage.cli(&["logs", "-f", &id.to_string()]).start();
    stage.write(id, "pod-a", b"first\n").await;
    stage.whole(id, "pod-a").await;
    stage.attempts(id, &["pod-a", "pod-b"]).await;
    stage.write(id, "pod-b", b"second\n").await;
    stage.whole(id, "pod-b").await;
    stage.succeed(id).await;
    let followed = ended(follow).await;
    // Whether the first attempt was seen depends on who was faster.
    assert!(followed.ok().ends_with("second"), "{followed:?}");

    let json = stage
        .cli(&["logs", &id.to_string(), "--attempt", "1", "-o", "json"])
        .run()
        .await;
    assert_eq!(
        json.json(),
        serde_json::json!({"attempt": 1, "offset": 0, "text": "first\n"})
    );
    let latest = stage.cli(&["logs", &id.to_string()]).run().await;
    assert_eq!(latest.ok(), "second");
    let one = stage
        .cli(&["logs", "-f", "--attempt", "1", &id.to_string()])
        .run()
        .await;
    assert_eq!(one.ok(), "first");
}

#[sqlx::test(migrations = false)]
async fn nothing_is_missed_and_nothing_comes_twice_over_restarts(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let mut stage = Stage::set(&database).await;
    let id = stage.running().await;
    let follow = stage.cli(&["logs", "-f", &id.to_string()]).start();
    let mut whole = Vec::new();
    for round in 0..3 {
        for line in 0..50 {
            let text = format!("round {round}, line {line}: ☃\n");
            stage.write(id, "pod-a", text.as_bytes()).await;
            whole.extend_from_slice(text.as_bytes());
        }
        stage.stop().await;
        stage.write(id, "pod-a", b"written while nobody served\n").await;
        whole.extend_from_slice(b"written while nobody served\n");
        stage.resume().await;
    }
    stage.whole(id, "pod-a").await;
    stage.succeed(id).await;
    let followed = ended(follow).await;
    assert_eq!(followed.code(), Some(0), "{followed:?}");
    assert!(
        followed.bytes() == whole,
        "{}",
        String::from_utf8_lossy(followed.bytes())
    );
}

#[sqlx::test(migrations = false)]
async fn the_end_of_a_log_may_be_all_that_is_wanted(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let id = stage.running().await;
    stage.write(id, "pod-a", b"one\ntwo\nthree\n").await;
    let tail = stage.cli(&["logs", "--tail", "2", &id.to_string()]).run().await;
    assert_eq!(tail.ok(), "two\nthree");
    let follow = stage.cli(&["logs", "-f", "-n", "1", &id.to_string()]).start();
    stage.write(id, "pod-a", b"four\n").await;
    stage.whole(id, "pod-a").await;
    stage.attempts(id, &["pod-a", "pod-b"]).await;
    stage.write(id, "pod-b", b"five\n").await;
    stage.whole(id, "pod-b").await;
    stage.succeed(id).await;
    let followed = ended(follow).await;
    // How much was there when it looked depends on who was faster.
    let all = "three\nfour\nfive";
    assert!(
        !followed.ok().is_empty() && all.ends_with(followed.out()),
        "{followed:?}"
    );
}

#[sqlx::test(migrations = false)]
async fn for_programs_a_log_comes_as_an_object_a_line(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let id = stage.running().await;
    // The second page begins within a character.
    let text = format!("x{}", "é".repeat(600_000));
    stage.write(id, "pod-a", text.as_bytes()).await;
    let read = stage.cli(&["logs", &id.to_string(), "-o", "json"]).run().await;
    let (mut whole, mut at) = (String::new(), 0);
    for line in read.ok().lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert_eq!((&object["attempt"], &object["offset"]), (&1.into(), &at.into()));
        let text = object["text"].as_str().expect("it has a text");
        whole.push_str(text);
        at += text.len();
    }
    assert!(whole == text, "{} of {} bytes", whole.len(), text.len());
}

/// On a terminal, colours are what is left of a log's control characters.
#[sqlx::test(migrations = false)]
async fn a_terminal_is_not_at_the_mercy_of_a_log(_: PgPoolOptions, database: PgConnectOptions) {
    let stage = Stage::set(&database).await;
    let id = stage.running().await;
    stage.write(id, "pod-a", WILD).await;
    let line = format!("{} logs {id}", env!("CARGO_BIN_EXE_slipway"));
    // `script` gives it a terminal.
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("SLIPWAY_SERVER", stage.url())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output());
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("it ends in time");
    let output = output.expect("it is waited for").expect("`script` runs");
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    assert_eq!(shown, "one  <script>\n\u{1b}[31mred\u{1b}[0m end\n\u{1b}[0m");
}
