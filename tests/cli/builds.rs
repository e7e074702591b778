//! What there is: lists, builds, events, the queue; and what can be done with them.

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cli::world::{Idle, PATIENCE};

const REPOSITORY: &str = "https://git.example.com/team/app.git#main";
const IMAGE: &str = "registry.example.com/team/app:1";

async fn queued(idle: &Idle, project: &str) -> String {
    let ran = idle
        .run(&["build", REPOSITORY, "-t", IMAGE, "-q", "--project", project])
        .await;
    let id = ran.ok().to_owned();
    idle.service.ended(&id, PATIENCE).await;
    id
}

#[sqlx::test(migrations = false)]
async fn builds_are_listed_and_shown_for_people_and_for_programs(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let idle = Idle::up(&database).await;
    let (one, two) = (queued(&idle, "one").await, queued(&idle, "two").await);

    let all = idle.run(&["builds"]).await;
    let lines: Vec<&str> = all.ok().lines().collect();
    assert!(
        lines[0].starts_with("ID") && lines[0].ends_with("TOOK"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with(&two) && lines[2].starts_with(&one),
        "newest first: {lines:?}"
    );
    assert!(
        lines[1].contains("succeeded") && !all.out().contains('\x1b'),
        "no colours in a pipe: {lines:?}"
    );

    let some = idle
        .run(&[
            "builds",
            "--project",
            "one",
            "--state",
            "succeeded,failed",
            "-o",
            "json",
        ])
        .await;
    let (_, page) = idle.service.get("api/v1/builds?project=one").await;
    assert_eq!((some.ok(), some.json()), (some.out(), page), "the API's own JSON");
    let none = idle
        .run(&[
            "builds",
            "--state",
            "failed",
            "--ref",
            "main",
            "--repository",
            "registry.example.com/team/app",
        ])
        .await;
    assert_eq!((none.ok(), none.err()), ("", "there are no such builds\n"));

    let first = idle.run(&["ls", "-n", "1"]).await;
    let cursor = first
        .err()
        .split("--cursor ")
        .nth(1)
        .expect("there are older ones")
        .trim()
        .to_owned();
    let older = idle.run(&["ls", "-n", "1", "--cursor", &cursor]).await;
    assert!(
        older.ok().contains(&one) && !older.out().contains(&two),
        "{older:?}"
    );

    let shown = idle.run(&["show", &format!("build-{one}")]).await;
    for part in [
        one.as_str(),
        "Project    one",
        "State      succeeded",
        "Source     git https://git.example.com/team/app.git main",
    ] {
        assert!(shown.ok().contains(part), "{part}: {}", shown.out());
    }
    let json = idle.run(&["show", &one, "--output", "json"]).await;
    assert_eq!(json.json(), idle.service.build(&one).await);

    let events = idle.run(&["events", "-f", &one, "-o", "json"]).await;
    let states: Vec<Value> = events
        .ok()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object a line")["state"].clone())
        .collect();
    assert_eq!(states.first(), Some(&"queued".into()));
    assert_eq!(states.last(), Some(&"succeeded".into()));
    let told = idle.run(&["events", &one]).await;
    assert_eq!(told.ok().lines().count(), states.len());
}

#[sqlx::test(migrations = false)]
async fn builds_are_repeated_and_cancelled(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    let one = queued(&idle, "one").await;
    let again = idle.run(&["rebuild", &one, "--follow", "-o", "json"]).await;
    again.ok();
    assert_eq!(
        again.json()["rebuild_of"],
        one.as_str(),
        "the build, once it has ended"
    );
    assert_eq!(again.json()["state"], "succeeded");

    let late = idle.run(&["cancel", &one]).await;
    late.failed(2, "the build is succeeded already");
    assert!(late.err().contains("build_ended"), "{}", late.err());
}

#[sqlx::test(migrations = false)]
async fn the_configuration_file_names_service_token_and_project(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    use std::os::unix::fs::PermissionsExt;

    let idle = Idle::up(&database).await;
    let (one, two) = (queued(&idle, "one").await, queued(&idle, "two").await);
    let home = tempfile::tempdir().expect("a folder can be made");
    let path = home.path().join("slipway/config.toml");
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
    let text = format!(
        "server = \"{}\"\ntoken = \"s3cret\"\nproject = \"one\"\n",
        idle.service.url("")
    );
    std::fs::write(&path, text).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
        let output = command
            .args(args)
            .env_clear()
            .env("XDG_CONFIG_HOME", home.path())
            .output()
            .expect("it runs");
        String::from_utf8(output.stdout).expect("it is text")
    };
    let mine = run(&["builds"]);
    assert!(mine.contains(&one) && !mine.contains(&two), "{mine}");
    let all = run(&["builds", "--all-projects"]);
    assert!(all.contains(&one) && all.contains(&two), "{all}");
    let theirs = run(&["builds", "--project", "two"]);
    assert!(theirs.contains(&two) && !theirs.contains(&one), "{theirs}");
}

#[sqlx::test(migrations = false)]
async fn the_queue_is_shown(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    // The slots are the dispatcher's to tell, which begins when it is ready.
    let told = async {
        while idle.service.get("api/v1/queue").await.1["slots"].is_null() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("the slots are told");
    let queue = idle.run(&["queue"]).await;
    assert!(
        queue.ok().starts_with("0 queued, 0 of 20 slots in use"),
        "{}",
        queue.out()
    );
    let json = idle.run(&["queue", "-o", "json"]).await;
    assert_eq!(json.json()["queued"], 0);
}
