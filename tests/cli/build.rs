//! What is built: folders, Dockerfiles and repositories.

use std::{fs, io::Read, path::Path};

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::cli::world::{Idle, cli};

const IMAGE: &str = "registry.example.com/team/app:1";

/// The names of what is in the one context that was uploaded, and its Dockerfile's text.
fn uploaded(contexts: &Path) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let mut folders = vec![contexts.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    let archive = fs::File::open(&found[0]).expect("it can be read");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let (mut names, mut dockerfile) = (Vec::new(), String::new());
    for entry in tar.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        if name.ends_with("Dockerfile") {
            entry.read_to_string(&mut dockerfile).expect("it is text");
        }
        names.push(name);
    }
    (names, dockerfile)
}

#[sqlx::test(migrations = false)]
async fn a_folder_is_sent_built_and_followed_to_its_end(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in [
        ("Dockerfile", "FROM scratch\n"),
        (".dockerignore", "*.log\n"),
        ("app.log", "x"),
        ("main.rs", "fn main() {}"),
    ] {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    let url = idle.service.url("");
    let ran = cli(
        &url,
        &[
            "build",
            ".",
            "-t",
            IMAGE,
            "--follow",
            "--label",
            "a=b",
            "--project",
            "team",
        ],
    )
    .within(folder.path())
    .run()
    .await;
    ran.ok();
    assert_eq!(ran.out(), "", "it has no log");
    assert!(ran.err().contains("sent 3 files and folders"), "{}", ran.err());
    assert!(ran.err().contains("\nsucceeded"), "{}", ran.err());
    assert!(ran.err().ends_with(&format!("\n{IMAGE}\n")), "{}", ran.err());
    assert_eq!(
        uploaded(idle.contexts.path()).0,
        [".dockerignore", "Dockerfile", "main.rs"]
    );
    let (_, page) = idle.service.get("api/v1/builds?project=team").await;
    assert_eq!(page["builds"][0]["spec"]["labels"], json!({"a": "b"}));
    assert_eq!(page["builds"][0]["state"], "succeeded");
}

#[sqlx::test(migrations = false)]
async fn every_flag_reaches_the_request(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    let terms = tempfile::tempdir().expect("a folder");
    let file = terms.path().join("terms.json");
    let open = json!({"settings": {"build_secrets": ["team-npm", "team.pip"]}});
    std::fs::write(&file, open.to_string()).expect("the terms can be written");
    let file = file.to_str().expect("a path is text");
    let set = ["project", "set", "team", "--terms", file];
    cli(&idle.service.url(""), &set).run().await.ok();
    let args = [
        "build",
        "https://git.example.com/team/app.git#main:server",
        "-t",
        IMAGE,
        "-t",
        "registry.example.com/team/app:latest",
        "-f",
        "docker/Dockerfile",
        "--build-arg",
        "VERSION=1=2",
        "--build-arg",
        "FROM_HERE",
        "--build-arg",
        "NOT_SET",
        "--secret",
        "id=npm=team-npm/token",
        "--secret",
        "pip=team.pip/.netrc",
        "--target",
        "release",
        "--label",
        "k=v",
        "--annotation",
        "note=x",
        "--platform",
        "linux/arm64",
        "--cache-ttl",
        "36h",
        "--cache-repository",
        "registry.example.com/cache",
        "--max-retries",
        "0",
        "--timeout",
        "20m",
        "--priority",
        "-5",
        "--cpu",
        "500m",
        "--group",
        "app/main",
        "--supersede",
        "running",
        "--memory",
        "2Gi",
        "-o",
        "json",
    ];
    let ran = cli(&idle.service.url(""), &args)
        .env("FROM_HERE", "there")
        .env("SLIPWAY_PROJECT", "team")
        .run()
        .await;
    ran.ok();
    assert_eq!(
        ran.json()["spec"],
        json!({
            "project": "team",
            "source": {"git": {"url": "https://git.example.com/team/app.git", "ref": "main", "sub_path": "server"}},
            "dockerfile": "docker/Dockerfile",
            "destinations": [IMAGE, "registry.example.com/team/app:latest"],
            "build_args": {"VERSION": "1=2", "FROM_HERE": "there"},
            "secrets": [
                {"id": "npm", "secret": "team-npm", "key": "token"},
                {"id": "pip", "secret": "team.pip", "key": ".netrc"},
            ],
            "target": "release",
            "labels": {"k": "v"},
            "platform": "linux/arm64",
            "cache": {"enabled": true, "repository": "registry.example.com/cache", "ttl_seconds": 129_600},
            "priority": -5,
            "timeout_seconds": 1200,
            "max_retries": 0,
            "resources": {"cpu": "500m", "memory": "2Gi"},
            "concurrency": {"group": "app/main", "supersede": "running"},
            "annotations": {"note": "x"},
        })
    );
}

#[sqlx::test(migrations = false)]
async fn a_dockerfile_may_come_from_standard_input(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    let ran = cli(&idle.service.url(""), &["build", "-", "-t", IMAGE, "--quiet"])
        .run_with(b"FROM scratch\nLABEL a=b\n")
        .await;
    let id = ran.ok();
    assert_eq!(ran.err(), "", "it is quiet");
    assert_eq!(id.len(), 36, "an id and nothing else: {id}");
    assert_eq!(
        uploaded(idle.contexts.path()),
        (
            vec!["Dockerfile".to_owned()],
            "FROM scratch\nLABEL a=b\n".to_owned()
        )
    );
}

#[sqlx::test(migrations = false)]
async fn a_folder_may_get_its_dockerfile_from_standard_input(_: PgPoolOptions, database: PgConnectOptions) {
    let idle = Idle::up(&database).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("a"), "x").expect("it can be written");
    let path = folder.path().to_str().expect("the path is text");
    let ran = cli(
        &idle.service.url(""),
        &["build", path, "-f", "-", "-t", IMAGE, "-o", "json"],
    )
    .run_with(b"FROM scratch\n")
    .await;
    ran.ok();
    assert_eq!(ran.json()["spec"]["dockerfile"], ".slipway.Dockerfile");
    let (names, dockerfile) = uploaded(idle.contexts.path());
    assert_eq!(
        names,
        ["a", ".slipway.Dockerfile", ".slipway.Dockerfile.dockerignore"]
    );
    assert_eq!(dockerfile, "FROM scratch\n");
}

#[sqlx::test(migrations = false)]
async fn a_context_that_is_too_large_is_refused_in_the_middle(_: PgPoolOptions, database: PgConnectOptions) {
    let mut idle = Idle::up(&database).await;
    idle.service.stop().await;
    idle.service.set("SLIPWAY_MAX_CONTEXT_SIZE", "1Mi");
    idle.service.up().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("Dockerfile"), "FROM scratch").expect("it can be written");
    let mut random = vec![0; 16 << 20];
    rand::Rng::fill(&mut rand::rng(), &mut random[..]);
    fs::write(folder.path().join("large"), random).expect("it can be written");
    let path = folder.path().to_str().expect("the path is text");
    let ran = idle.run(&["build", path, "-t", IMAGE]).await;
    ran.failed(2, "at most 1048576 bytes are taken here");
    ran.failed(2, ".dockerignore");
    let builds = idle.run(&["builds"]).await;
    assert_eq!(builds.ok(), "", "nothing was queued");
}
