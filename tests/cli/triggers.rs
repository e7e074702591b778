//! Triggers from the command line: made, tried, called, and what came of it.

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cli::world::{Idle, cli};

const SECRET: &str = "a-secret-of-ones-own";

#[sqlx::test(migrations = false)]
async fn a_trigger_is_made_tried_called_and_removed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Idle::up(&database).await;
    let server = service.service.url("");
    let trigger = json!({
        "provider": "generic", "repository": "team/app", "clone_url": "https://git.example/team/app.git",
        "secret": SECRET,
        "rules": [{"name": "main", "source_type": "branch", "source": "main", "tags": ["latest"],
            "repositories": ["registry.example/team/app"]}],
    });
    let made = cli(&server, &["trigger", "create", "-"])
        .run_with(trigger.to_string().as_bytes())
        .await;
    let shown = made.ok();
    assert!(shown.contains(&format!("secret:  {SECRET}")), "{shown}");
    let address = shown
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("address: ")
        .to_owned();
    assert!(address.starts_with(&format!("{server}hooks/")), "{address}");
    let id = address.rsplit('/').next().unwrap();

    let listed = service.run(&["trigger", "list"]).await;
    assert!(
        listed.ok().contains(id) && listed.out().contains("generic"),
        "{}",
        listed.out()
    );
    assert!(!service.run(&["trigger", "show", id]).await.ok().contains(SECRET));

    let tried = service.run(&["trigger", "dry-run", id, "--branch", "main"]).await;
    assert!(
        tried.ok().contains("registry.example/team/app:latest"),
        "{}",
        tried.out()
    );
    let tried = service.run(&["trigger", "dry-run", id, "--tag", "v1"]).await;
    assert!(tried.ok().contains("other kind"), "{}", tried.out());
    service
        .run(&["trigger", "dry-run", id])
        .await
        .failed(2, "--branch");

    let built = service.run(&["trigger", "build", id, "--branch", "main"]).await;
    let build = built.ok().trim().to_owned();
    assert!(
        service
            .run(&["show", &build])
            .await
            .ok()
            .contains("registry.example/team/app:latest")
    );
    let none = service.run(&["trigger", "build", id, "--branch", "dev"]).await;
    none.failed(1, "no rule matches the branch dev");

    let listed = service
        .run(&["deliveries", "list", id, "--verdict", "built"])
        .await;
    assert_eq!(listed.ok().lines().count(), 2, "{}", listed.out());
    let delivery = listed.out().lines().nth(1).unwrap().split(' ').next().unwrap();
    let shown = service.run(&["deliveries", "show", delivery]).await;
    assert!(shown.ok().contains(&build), "{}", shown.out());
    service
        .run(&["deliveries", "replay", delivery])
        .await
        .failed(2, "replayed");

    let rotated = service.run(&["trigger", "rotate", id, "--overlap", "0s"]).await;
    assert!(!rotated.ok().contains(SECRET), "{}", rotated.out());
    service.run(&["trigger", "delete", id]).await.ok();
    service
        .run(&["trigger", "show", id])
        .await
        .failed(2, "no such trigger");
}
