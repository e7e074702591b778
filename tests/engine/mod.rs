//! The engine launcher on a real engine, with kaniko where its image is at hand, else with the stand-in.

mod dockerfiles;
mod lifecycle;
mod machine;
mod secrets;
mod world;

use flate2::{Compression, write::GzEncoder};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slipway::{
    domain::{BuildId, Failure, Outcome, Reason, Sighting},
    launcher::{ContextGrant, LaunchError, Launcher, Order},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method},
};

use crate::{engine::world::World, support::port::Port};

/// A world, or the end of the test where this machine has no engine.
macro_rules! world_or_skip {
    ($kind:ident) => {
        match $crate::engine::world::World::$kind().await {
            Some(world) => world,
            None => return,
        }
    };
}
use world_or_skip;

fn failure(sighting: &Sighting) -> &Failure {
    match &sighting.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("has not failed: {other:?}"),
    }
}

fn digest(sighting: &Sighting) -> Option<String> {
    match &sighting.outcome {
        Outcome::Succeeded { digest } => digest.as_ref().map(ToString::to_string),
        other => panic!("has not succeeded: {other:?}"),
    }
}

#[tokio::test]
async fn a_folders_image_arrives_in_the_registry_under_the_digest_that_is_reported() {
    let world = world_or_skip!(open);
    world.write("hello.txt", "hello\n");
    let dockerfile = "FROM BASE\nARG GREETING=none\nENV COLOUR=blue\nWORKDIR /app\nCOPY hello.txt ./\n\
                      RUN echo \"says $GREETING and $COLOUR\" && cat hello.txt > copy.txt\nCMD [\"cat\", \"copy.txt\"]\n";
    let order = world.order(
        dockerfile,
        json!({ "build_args": { "GREETING": "good day" }, "labels": { "a": "b" } }),
    );

    let sighting = world.build(&order).await;

    let reported = digest(&sighting);
    assert!(reported.is_some());
    assert_eq!(reported, world.registry.digest("team/app", "1").await);
    assert_eq!((sighting.attempts.len(), sighting.failed_attempts), (1, 0));
    let attempt = &sighting.attempts[0];
    assert!(attempt.succeeded && attempt.started_at.is_some() && attempt.finished_at >= attempt.started_at);
    let config = world.registry.config("team/app", "1").await;
    assert_eq!(config["config"]["Cmd"], json!(["cat", "copy.txt"]));
    assert_eq!(config["config"]["WorkingDir"], "/app");
    assert_eq!(config["config"]["Labels"]["a"], "b");
    let env = config["config"]["Env"].as_array().expect("has an environment");
    assert!(
        env.contains(&json!("COLOUR=blue")) && env.contains(&json!("BASE=yes")),
        "{env:?}"
    );

    let log = world.log(&order, 1, 0).await;
    assert!(log.contains("says good day and blue"), "{log}");
    assert_eq!(world.log(&order, 1, 100).await, log[100..]);
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .expect("in memory");
    }
    tar.into_inner().expect("in memory").finish().expect("in memory")
}

async fn uploaded(world: &World, archive: &[u8], rest: Value) -> (MockServer, Order) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_bytes(archive);
    Mock::given(method("GET"))
        .and(header("authorization", "Bearer once"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let source = json!({ "upload": { "context_id": BuildId::generate(), "sub_path": "web" } });
    let mut order = world.order("FROM scratch\n", json!({ "source": source }));
    let rest = rest.as_object().expect("an object").clone();
    assert!(
        rest.is_empty() || rest.contains_key("token"),
        "only the token can be changed"
    );
    let token = rest.get("token").and_then(Value::as_str).unwrap_or("once");
    order.context = Some(ContextGrant {
        url: server.uri().parse().expect("a URL"),
        token: SecretString::from(token),
        sha256: Sha256::digest(archive).into(),
        size: archive.len() as u64,
    });
    (server, order)
}

#[tokio::test]
async fn an_uploaded_context_is_copied_into_the_container() {
    let world = world_or_skip!(open);
    let dockerfile = format!(
        "FROM {}\nCOPY note.txt /note.txt\nRUN cat /note.txt\n",
        world.registry.base()
    );
    let archive = archive(&[
        ("web/Dockerfile", &dockerfile),
        ("web/note.txt", "from the upload\n"),
    ]);
    let (_server, order) = uploaded(&world, &archive, json!({})).await;

    let sighting = world.build(&order).await;

    assert_eq!(digest(&sighting), world.registry.digest("team/app", "1").await);
    assert!(world.log(&order, 1, 0).await.contains("from the upload"));
}

#[tokio::test]
async fn a_context_that_is_refused_leaves_no_container() {
    let world = world_or_skip!(open);
    let (_server, order) = uploaded(
        &world,
        &archive(&[("web/Dockerfile", "FROM scratch")]),
        json!({ "token": "old" }),
    )
    .await;
    let refused = world.engine.launch(&order).await;
    assert!(matches!(refused, Err(LaunchError::Refused(_))), "{refused:?}");

    let (_server, mut order) =
        uploaded(&world, &archive(&[("web/Dockerfile", "FROM scratch")]), json!({})).await;
    order.context.as_mut().expect("was set").sha256 = [0; 32];
    let changed = world.engine.launch(&order).await;
    assert!(matches!(changed, Err(LaunchError::Refused(_))), "{changed:?}");
    assert_eq!(world.engine.list().await.expect("answers"), []);
}

#[tokio::test]
async fn a_step_that_fails_is_not_tried_again() {
    let world = world_or_skip!(open);
    let order = world.order(
        "FROM BASE\nRUN echo about to fail; exit 42\n",
        json!({ "max_retries": 3 }),
    );

    let sighting = world.build(&order).await;

    let failure = failure(&sighting);
    assert_eq!(
        (failure.reason, failure.exit_code),
        (Reason::BuildStepFailed, Some(42))
    );
    assert_eq!((sighting.attempts.len(), sighting.failed_attempts), (1, 1));
    assert!(
        failure
            .log_snippet
            .as_ref()
            .is_some_and(|log| log.contains("about to fail"))
    );
}

#[tokio::test]
async fn an_unreachable_registry_is_tried_again_and_then_named() {
    let world = world_or_skip!(open);
    let port = Port::reserve();
    let nobody = format!("127.0.0.1:{port}/team/app:1");
    let order = world.order(
        "FROM BASE\n",
        json!({ "max_retries": 1, "destinations": [nobody] }),
    );

    let sighting = world.build(&order).await;

    assert_eq!(failure(&sighting).reason, Reason::RegistryUnavailable);
    assert_eq!((sighting.attempts.len(), sighting.failed_attempts), (2, 2));
    let pause = sighting.attempts[1]
        .started_at
        .expect("ran")
        .duration_since(sighting.attempts[0].finished_at.expect("ended"));
    assert!(pause >= world.options.retry_delay, "{pause}");
    assert_eq!(
        world.engine.launch(&order).await.expect("adopts").external_id,
        sighting.external_id
    );
}

#[tokio::test]
async fn a_missing_dockerfile_and_a_missing_base_image_are_told_apart() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE\n", json!({ "dockerfile": "elsewhere/Dockerfile" }));
    assert_eq!(
        failure(&world.build(&order).await).reason,
        Reason::DockerfileMissing
    );

    let order = world.order(&format!("FROM {}/none/such:1\n", world.registry.host), json!({}));
    assert_eq!(
        failure(&world.build(&order).await).reason,
        Reason::BaseImageNotFound
    );

    let order = world.order("FROM BASE\nRNU true\n", json!({}));
    assert_eq!(
        failure(&world.build(&order).await).reason,
        Reason::DockerfileInvalid
    );
}

#[tokio::test]
async fn a_step_that_eats_all_memory_is_out_of_memory() {
    let world = world_or_skip!(open);
    let dockerfile = "FROM BASE\nRUN x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done\n";
    let order = world.order(dockerfile, json!({ "resources": { "memory": "134217728" } }));

    let sighting = world.build(&order).await;

    assert_eq!(failure(&sighting).reason, Reason::OutOfMemory);
    assert_eq!(sighting.failed_attempts, 1);
}
