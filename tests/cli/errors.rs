//! What goes wrong, and what is said of it.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, path},
};

use crate::{
    cli::world::{Idle, cli},
    support::port::Port,
};

const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn a_service_that_is_not_there_is_named_with_what_to_do() {
    let nobody = Port::reserve();
    let server = format!("http://127.0.0.1:{nobody}");
    for args in [
        &["builds"][..],
        &["show", NOBODY],
        &["cancel", NOBODY],
        &[
            "build",
            "https://git.example.com/a.git",
            "-t",
            "r.example.com/team/a:1",
        ],
    ] {
        let ran = cli(&server, args).run().await;
        ran.failed(3, &format!("cannot reach {server}"));
        ran.failed(3, "Connection refused");
        ran.failed(3, "Is `slipway serve` running there?");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let nobody = Port::reserve();
    let server = format!("http://127.0.0.1:{nobody}");
    for (args, said) in [
        (&["build", "."][..], "--tag"),
        (
            &["build", ".", "-t", "registry/team/app:1"],
            "must name its registry",
        ),
        (
            &["build", "/nowhere", "-t", "r.example.com/team/a:1"],
            "/nowhere is no folder",
        ),
        (
            &["build", "git@host:a.git", "-t", "r.example.com/team/a:1"],
            "https://",
        ),
        (
            &[
                "build",
                ".",
                "-t",
                "r.example.com/team/a:1",
                "--build-arg",
                "PATH=x",
            ],
            "is reserved",
        ),
        (
            &["build", ".", "-t", "r.example.com/team/a:1", "--timeout", "25h"],
            "from one second to a day",
        ),
        (
            &[
                "build",
                ".",
                "-t",
                "r.example.com/team/a:1",
                "--max-retries",
                "11",
            ],
            "between 0 and 10",
        ),
        (
            &[
                "build",
                ".",
                "-t",
                "r.example.com/team/a:1",
                "--cancel-on-interrupt",
            ],
            "--follow",
        ),
        (
            &["build", "-", "-f", "-", "-t", "r.example.com/team/a:1"],
            "this context has its own",
        ),
        (
            &[
                "build",
                ".",
                "-t",
                "r.example.com/a/b:1",
                "-t",
                "r.example.com/a/b:1",
            ],
            "twice",
        ),
        (&["show", "0189"], "is no build's id"),
        (&["builds", "--state", "done"], "is no state of a build"),
        (&["builds", "--limit", "101"], "101"),
        (&["builds", "--server", "localhost:8080"], "http://host:port"),
        (
            &["builds", "--config", "/nowhere/config.toml"],
            "there is no /nowhere/config.toml",
        ),
        (&["logs"], "<ID>"),
    ] {
        let ran = cli(&server, args).run().await;
        ran.failed(2, said);
    }
}

#[sqlx::test(migrations = false)]
async fn what_the_service_refuses_is_told_in_its_words(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    for args in [
        &["show", NOBODY][..],
        &["logs", NOBODY],
        &["logs", "-f", NOBODY],
        &["events", "-f", NOBODY],
        &["rebuild", NOBODY, "--follow"],
        &["cancel", NOBODY],
    ] {
        let ran = idle.run(args).await;
        ran.failed(2, "there is no such build");
        ran.failed(2, "(not_found, request ");
    }
    let bad = idle.run(&["builds", "--cursor", "x"]).await;
    bad.failed(2, "cursor is no cursor that a page has given");
    bad.failed(2, "(validation_failed, request ");
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let server = MockServer::start().await;
    Mock::given(path("/deep/api/v1/builds"))
        .and(header("authorization", "Bearer s3cret"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"builds":[],"next_cursor":null}"#))
        .mount(&server)
        .await;
    let problem =
        r#"{"status":401,"code":"unauthorized","title":"Valid credentials are needed","request_id":"r"}"#;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(401).set_body_raw(problem, "application/problem+json"))
        .with_priority(9)
        .mount(&server)
        .await;
    let deep = format!("{}/deep", server.uri());
    cli(&deep, &["builds", "-o", "json"])
        .env("SLIPWAY_TOKEN", "s3cret")
        .run()
        .await
        .ok();
    let wrong = cli(&deep, &["builds", "--token", "wr0ng"]).run().await;
    let said = wrong.failed(3, "Valid credentials are needed");
    assert!(
        said.contains("SLIPWAY_TOKEN") && !said.contains("wr0ng"),
        "{said}"
    );
    cli(&deep, &["builds"])
        .run()
        .await
        .failed(3, "Valid credentials are needed");
}

#[tokio::test]
async fn what_is_no_slipway_is_told_as_such() {
    let server = MockServer::start().await;
    Mock::given(path("/api/v1/builds"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", "https://login.example.com/"))
        .mount(&server)
        .await;
    Mock::given(path(format!("/api/v1/builds/{NOBODY}")))
        .respond_with(ResponseTemplate::new(200).set_body_string("<html>"))
        .mount(&server)
        .await;
    let uri = server.uri();
    cli(&uri, &["builds"])
        .run()
        .await
        .failed(3, "it redirects to https://login.example.com/");
    cli(&uri, &["show", NOBODY])
        .run()
        .await
        .failed(3, "its answer cannot be read");
    cli(&uri, &["queue"])
        .run()
        .await
        .failed(3, "unexpected answer with status 404");
}

#[tokio::test]
async fn completions_and_help_need_no_service() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = cli("http://127.0.0.1:1", &["completions", shell]).run().await;
        assert!(ran.ok().contains("cancel-on-interrupt"), "{shell}");
    }
    let help = cli("http://127.0.0.1:1", &["build", "--help"]).run().await;
    for part in ["Examples:", "Exit codes:", "SLIPWAY_TOKEN", ".dockerignore"] {
        assert!(help.ok().contains(part), "{part}");
    }
    assert!(!help.out().contains("s3cret"));
}

#[tokio::test]
async fn a_reader_that_hangs_up_is_no_error() {
    use std::process::{Command, Stdio};

    let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"));
    child
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().expect("it can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("panicked"),
        "{output:?}"
    );
}
