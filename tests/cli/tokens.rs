//! The first token, and what it opens: on the database, then over the REST API.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    cli::world::{address, cli},
    support::service::Service,
};

/// A service that asks for tokens.
async fn guarded(database: &PgConnectOptions, folder: &tempfile::TempDir) -> Service {
    let folder = folder.path().to_str().expect("the path is text").to_owned();
    let mut service = Service::new(
        "slipway",
        &[
            ("SLIPWAY_DATABASE_URL", &address(database)),
            ("SLIPWAY_LAUNCHER", "none"),
            ("SLIPWAY_CONTEXT_STORE", &folder),
        ],
    );
    service.start();
    service
}

#[sqlx::test(migrations = false)]
async fn the_first_token_is_made_on_the_database_and_the_rest_with_it(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let service = guarded(&database, &folder).await;
    let url = address(&database);
    let early =
        cli("http://127.0.0.1:1", &["token", "list"]).env("SLIPWAY_DATABASE_URL", "postgres://127.0.0.1:1/x");
    early.run().await.failed(1, "the database is not ready");
    // Its start is over when the database is prepared; only then is there a place for tokens.
    loop {
        if let Ok((200, _)) = service.try_get("readyz").await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let hint = async {
        while !service.log().contains("slipway token create") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(crate::cli::world::PATIENCE, hint).await;
    told.expect("who starts it first is told how to go on");
    // And nothing has looked for tables before they were there.
    assert!(!service.log().contains("trying again"), "{}", service.log());

    let server = service.url("");
    let run = async |token: &str, args: &[&str]| cli(&server, args).env("SLIPWAY_TOKEN", token).run().await;
    run("", &["builds"]).await.failed(3, "SLIPWAY_TOKEN");
    let first = [
        "token",
        "create",
        "--name",
        "root",
        "--scope",
        "admin",
        "--expires",
        "1d",
    ];
    let admin = cli("http://127.0.0.1:1", &first)
        .env("SLIPWAY_DATABASE_URL", &url)
        .run()
        .await;
    let admin = admin.ok().to_owned();
    assert!(admin.starts_with("slw_") && admin.len() == 53, "{admin}");
    run(&admin, &["builds"]).await.ok();
    run(&admin.replace("slw_", "slw_0"), &["builds"])
        .await
        .failed(3, "unauthorized");

    let team = [
        "project",
        "set",
        "team",
        "--max-queued",
        "5",
        "--destination",
        "registry.example.com/team",
        "--default-registry",
        "registry.example.com/team",
    ];
    run(&admin, &team).await.ok();
    run(&admin, &["project", "set", "team", "--weight", "2"])
        .await
        .ok();
    let shown = run(&admin, &["project", "show", "team"]).await.json();
    assert_eq!((&shown["weight"], &shown["max_queued"]), (&2.into(), &5.into()));
    assert!(
        run(&admin, &["project", "list"])
            .await
            .ok()
            .contains("registry.example.com/team")
    );
    let create = [
        "token",
        "create",
        "--name",
        "ci",
        "--project",
        "team",
        "--scope",
        "builds:write,contexts:write",
    ];
    let ci = run(&admin, &create).await.ok().to_owned();
    let build = [
        "build",
        "https://git.example.com/app.git",
        "-t",
        "registry.example.com/team/app:1",
        "--output",
        "json",
    ];
    assert_eq!(
        run(&ci, &build).await.json()["project"],
        "team",
        "whoever has one project need not name it"
    );
    let elsewhere = [
        "build",
        "https://git.example.com/app.git",
        "-t",
        "registry.example.com/other/app:1",
    ];
    run(&ci, &elsewhere).await.failed(2, "destinations[0]");
    run(&ci, &["project", "list"]).await.failed(3, "project:admin");

    let listed = run(&admin, &["token", "list", "--project", "team"]).await;
    let listed = listed.ok();
    assert!(listed.contains("ci") && !listed.contains(&ci), "{listed}");
    let id = listed
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().next());
    let id = id.expect("it is in the table");
    run(&admin, &["token", "revoke", "--project", "team", id])
        .await
        .ok();
    run(&ci, &["builds"]).await.failed(3, "unauthorized");
    // Whoever looks after the database sees it too.
    let rows = cli("http://127.0.0.1:1", &["token", "list", "--project", "team"])
        .env("SLIPWAY_DATABASE_URL", &url)
        .run()
        .await;
    assert!(rows.ok().contains("revoked"), "{rows:?}");
    run(
        &admin,
        &["token", "create", "--name", "x", "--scope", "builds:read"],
    )
    .await
    .failed(2, "admin");
}

#[test]
fn everybody_is_let_in_on_loopback_only() {
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args([
            "serve",
            "--no-auth",
            "--listen=0.0.0.0:0",
            "--database-url=postgres://127.0.0.1:1/x",
        ])
        .output()
        .expect("slipway can be started");
    assert!(!said.status.success());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("--no-auth lets everybody do everything"), "{said}");
}
