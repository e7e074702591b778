//! What may push kept away from what runs steps, and secrets that steps may read.

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::TryStreamExt;
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slipway::{
    domain::{Outcome, ProjectSettings, Reason, Sighting},
    launcher::{Launcher, Order},
};

use crate::{
    kubernetes::harness::{World, read_log},
    support::cluster::{self, host},
    support::registry::{PASSWORD, Registry},
};

const VALUE: &str = "not-for-the-image-4711";

fn settings(body: Value) -> ProjectSettings {
    serde_json::from_value(body).unwrap()
}

fn dockerfile(steps: &[&str]) -> String {
    let mut text = "FROM scratch\nCOPY busybox /bin/busybox\n".to_owned();
    for step in steps {
        let (mounts, script) = step.split_once(" :: ").unwrap_or(("", step));
        text.push_str(&format!(
            "RUN {mounts} [\"/bin/busybox\", \"sh\", \"-c\", {script:?}]\n"
        ));
    }
    text
}

/// A world whose registry asks for credentials; `push` holds them, `wrong` another password.
async fn locked() -> World {
    let mut world = World::new().await;
    world.registry = Registry::locked(&host()).await;
    let insecure = vec![world.registry.host.clone()];
    world
        .reconnect(|options| options.kaniko.insecure_registries = insecure)
        .await;
    for (name, password) in [("push", PASSWORD), ("wrong", "wrong")] {
        let auth = BASE64_STANDARD.encode(format!("builder:{password}"));
        let config = json!({ "auths": { &world.registry.host: { "auth": auth } } });
        world
            .place
            .create::<Secret>(json!({
                "metadata": { "name": name }, "type": "kubernetes.io/dockerconfigjson",
                "stringData": { ".dockerconfigjson": config.to_string() },
            }))
            .await;
    }
    world
}

async fn run(world: &World, order: &Order) -> (Sighting, String) {
    world.launcher.launch(order).await.unwrap();
    let seen = world.finish(order.id).await;
    let log = read_log(world, order.id, &seen.attempts[0].name).await;
    (seen, log)
}

fn failure(seen: &Sighting) -> (Reason, Option<i32>) {
    match &seen.outcome {
        Outcome::Failed(failure) => (failure.reason, failure.exit_code),
        other => panic!("not failed: {other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_step_finds_no_credentials_where_another_container_pushes() {
    let looks = dockerfile(&[
        "/bin/busybox cat /kaniko/.docker/config.json || echo none to be found; /bin/busybox env; \
         /bin/busybox cat /proc/mounts || true; echo looked around",
    ]);
    let mut found = Vec::new();
    for mode in ["direct", "isolated"] {
        let mut world = locked().await;
        let mut order = world.volume_order(&looks, json!({})).await;
        order.project = settings(json!({ "push_mode": mode, "push_secret": "push" }));
        let (seen, log) = run(&world, &order).await;
        let Outcome::Succeeded { digest: Some(digest) } = &seen.outcome else {
            panic!("{mode}: {:?}\n{log}", seen.outcome)
        };
        assert_eq!(
            world.registry.digest("team/app", "1").await.as_deref(),
            Some(digest.as_str()),
            "{mode}"
        );
        assert!(log.contains("looked around"), "{mode}: {log}");
        assert!(
            log.contains("Pushing image to"),
            "both containers' logs, {mode}: {log}"
        );
        resumes_anywhere(&world, &order, &seen, &log).await;
        found.push(log.contains(&BASE64_STANDARD.encode(format!("builder:{PASSWORD}"))));
        world.place.close().await;
    }
    if cluster::is_standin() {
        println!("NOT RUN: whether a step can read what may push: the stand-in's steps see the image only");
        assert_eq!(found, [false, false]);
    } else {
        assert_eq!(found, [true, false], "in direct mode it can, else not");
    }
}

/// The log from a byte on is the rest of the log, in either container's part.
async fn resumes_anywhere(world: &World, order: &Order, seen: &Sighting, whole: &str) {
    let attempt = &seen.attempts[0].name;
    for from in [1, whole.len() / 2, whole.len() - 10, whole.len()] {
        let pieces = world.launcher.log(order.id, attempt, from as u64).await.unwrap();
        let rest: Vec<_> = pieces.try_collect().await.unwrap();
        assert_eq!(rest.concat(), whole.as_bytes()[from..], "from {from}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn each_container_fails_for_its_own_reason() {
    let mut world = locked().await;
    let mut order = world
        .volume_order(&dockerfile(&["echo built"]), json!({ "max_retries": 0 }))
        .await;
    order.project = settings(json!({ "push_mode": "isolated", "push_secret": "wrong" }));
    let (seen, log) = run(&world, &order).await;
    assert_eq!(failure(&seen), (Reason::RegistryUnauthorized, Some(1)), "{log}");
    assert!(log.contains("built"), "{log}");
    world.place.close().await;

    let mut world = locked().await;
    let mut order = world
        .volume_order(&dockerfile(&["exit 42"]), json!({ "max_retries": 0 }))
        .await;
    order.project = settings(json!({ "push_mode": "isolated", "push_secret": "push" }));
    let (seen, log) = run(&world, &order).await;
    assert_eq!(failure(&seen), (Reason::BuildStepFailed, Some(42)), "{log}");
    assert_eq!(world.registry.digest("team/app", "1").await, None);
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_secret_is_in_the_step_that_asks_for_it_and_nowhere_else() {
    let mut world = locked().await;
    world
        .place
        .create::<Secret>(json!({ "metadata": { "name": "team" }, "stringData": { "token": VALUE } }))
        .await;
    let steps = dockerfile(&[
        "--mount=type=secret,id=npm :: /bin/busybox sha256sum /run/secrets/npm",
        "/bin/busybox test ! -e /run/secrets/npm && echo gone again",
    ]);
    let secrets = json!({ "secrets": [{ "id": "npm", "secret": "team", "key": "token" }] });
    let mut order = world.volume_order(&steps, secrets).await;
    order.project = settings(json!({
        "push_mode": "isolated", "push_secret": "push", "build_secrets": ["team"],
    }));
    let (seen, log) = run(&world, &order).await;
    assert!(
        matches!(seen.outcome, Outcome::Succeeded { .. }),
        "{:?}\n{log}",
        seen.outcome
    );
    assert!(log.contains(&hex::encode(Sha256::digest(VALUE))), "{log}");
    assert!(log.contains("gone again"), "{log}");
    assert!(!log.contains(VALUE), "{log}");
    let job = world.place.api::<Job>().get(&order.id.job_name()).await.unwrap();
    let job = serde_json::to_string(&job).unwrap();
    assert!(job.contains("--secret=id=npm") && !job.contains(VALUE), "{job}");
    let image = world.registry.content("team/app", "1").await;
    let has = |text: &str| image.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("bin/busybox"), "it is what was built");
    assert!(!has(VALUE));
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_waits_for_a_secret_that_is_missing() {
    for (name, key) in [("absent", "token"), ("there", "another-key")] {
        let mut world = World::new().await;
        world
            .place
            .create::<Secret>(json!({ "metadata": { "name": "there" }, "stringData": { "token": VALUE } }))
            .await;
        let secrets = json!({ "secrets": [{ "id": "npm", "secret": name, "key": key }] });
        let mut order = world.volume_order(&dockerfile(&["echo built"]), secrets).await;
        order.project = settings(json!({ "build_secrets": [name] }));
        world.launcher.launch(&order).await.unwrap();
        let waits = |seen: Option<&Sighting>| {
            let outcome = seen.map(|seen| &seen.outcome);
            matches!(
                outcome,
                Some(Outcome::Waiting {
                    reason: Some(Reason::ConfigMissing),
                    ..
                })
            )
        };
        let seen = world.watch(order.id, waits).await.unwrap();
        let Outcome::Waiting {
            message: Some(words), ..
        } = seen.outcome
        else {
            panic!("{:?}", seen.outcome)
        };
        assert!(words.contains(if key == "token" { name } else { key }), "{words}");
        world.place.close().await;
    }
}
