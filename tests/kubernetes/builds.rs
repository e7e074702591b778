//! Builds from their launch to their end.

use futures::TryStreamExt;
use serde_json::json;
use slipway::{
    domain::{Outcome, Phase, Reason, Sighting},
    launcher::Launcher,
};

use crate::{
    kubernetes::harness::{World, config_on_a_claim, read_log},
    support::cluster::host,
};

const GOOD: &str =
    "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"echo\", \"hello from the step\"]\n";

fn step(script: &str) -> String {
    format!("FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", {script:?}]\n")
}

fn failure(seen: &Sighting) -> (Reason, Option<i32>) {
    match &seen.outcome {
        Outcome::Failed(failure) => (failure.reason, failure.exit_code),
        other => panic!("not failed: {other:?}"),
    }
}

fn running(seen: Option<&Sighting>) -> bool {
    seen.is_some_and(|seen| matches!(seen.outcome, Outcome::Running { .. }))
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn context_and_credentials_on_claims_as_in_the_article() {
    let mut world = World::with(config_on_a_claim).await;
    world
        .claim("docker-config", &[("config.json", "{\"auths\":{}}")])
        .await;
    let order = world.volume_order(GOOD, json!({})).await;

    let launched = world.launcher.launch(&order).await.unwrap();
    assert!(!launched.adopted);
    let seen = world.finish(order.id).await;
    let Outcome::Succeeded { digest: Some(digest) } = &seen.outcome else {
        panic!("{:?}", seen.outcome)
    };
    assert_eq!(
        world.registry.digest("team/app", "1").await.as_deref(),
        Some(digest.as_str())
    );
    assert_eq!(seen.external_id, launched.external_id);
    assert_eq!((seen.failed_attempts, seen.attempts.len()), (0, 1));
    assert_eq!(world.launcher.list().await.unwrap(), [order.id]);

    // Its log, whole, and from the middle on.
    let pod = &seen.attempts[0].name;
    let read = async |from| {
        let pieces = world.launcher.log(order.id, pod, from).await.unwrap();
        pieces
            .try_fold(Vec::new(), async |mut all, piece| {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
            .unwrap()
    };
    let whole = read(0).await;
    assert!(String::from_utf8_lossy(&whole).contains("hello from the step"));
    assert_eq!(read(100).await, whole[100..]);
    assert!(read(1 << 20).await.is_empty());

    world.launcher.remove(order.id).await.unwrap();
    assert!(world.watch(order.id, |seen| seen.is_none()).await.is_none());
    assert!(world.launcher.list().await.unwrap().is_empty());
    world.launcher.remove(order.id).await.unwrap();
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_failing_step_is_not_tried_again() {
    let mut world = World::new().await;
    let order = world
        .volume_order(&step("echo about to fail; exit 42"), json!({ "max_retries": 3 }))
        .await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    assert_eq!(failure(&seen), (Reason::BuildStepFailed, Some(42)));
    assert_eq!(
        (seen.failed_attempts, world.place.pods(order.id).await.len()),
        (1, 1)
    );
    world.launcher.stop_retrying(order.id).await.unwrap();
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_registry_that_is_away_is_tried_again() {
    let mut world = World::new().await;
    let rest = json!({ "max_retries": 1, "destinations": [format!("{}:1/team/app:1", host())] });
    let order = world.volume_order(GOOD, rest).await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    assert_eq!(failure(&seen).0, Reason::RegistryUnavailable);
    assert_eq!((seen.failed_attempts, seen.attempts.len()), (2, 2));
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn memory_beyond_the_limit_ends_the_build() {
    let mut world = World::new().await;
    let rest = json!({ "resources": { "memory": "64Mi" } });
    // A shell that fills it by itself: in the stand-in's steps there are no devices.
    let fill = "x=0123456789abcdef; while true; do x=$x$x; done";
    let order = world
        .volume_order(&step(&format!("/bin/busybox sh -c '{fill}'")), rest)
        .await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    assert_eq!(failure(&seen).0, Reason::OutOfMemory);
    assert_eq!(seen.failed_attempts, 1);
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_ends_at_its_timeout_and_its_log_stays() {
    let mut world = World::new().await;
    let rest = json!({ "timeout_seconds": 20 });
    let order = world
        .volume_order(&step("echo before; /bin/busybox sleep 600"), rest)
        .await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    assert_eq!(failure(&seen).0, Reason::TimedOut);
    assert!(
        read_log(&world, order.id, &seen.attempts[0].name)
            .await
            .contains("before")
    );
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_is_cancelled_while_it_runs_and_is_gone_with_its_pod() {
    let mut world = World::new().await;
    let order = world
        .volume_order(&step("/bin/busybox sleep 600"), json!({}))
        .await;
    world.launcher.launch(&order).await.unwrap();
    let seen = world.watch(order.id, running).await.unwrap();
    assert!(matches!(
        seen.outcome,
        Outcome::Running {
            phase: Phase::Fetching | Phase::Building
        }
    ));
    assert!(seen.attempts[0].running);
    world.launcher.remove(order.id).await.unwrap();
    // While it goes, it is neither relaunched nor adopted.
    assert!(world.launcher.launch(&order).await.is_err());
    world.watch(order.id, |seen| seen.is_none()).await;
    assert!(world.place.pods(order.id).await.is_empty());
    assert!(!world.launcher.launch(&order).await.unwrap().adopted);
    world.place.close().await;
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_git_host_that_is_away_is_named_as_the_reason() {
    let world = World::new().await;
    let source = json!({ "git": { "url": format!("http://{}:1/team/app.git", host()) } });
    let order = world.order(source, json!({ "max_retries": 0 }));
    world.launcher.launch(&order).await.unwrap();
    let seen = world.finish(order.id).await;
    assert_eq!(failure(&seen).0, Reason::SourceFetchFailed);
    world.place.close().await;
}
