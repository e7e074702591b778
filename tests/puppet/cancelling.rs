//! A cancelled build is cancelled once, whatever it was at, and only when nothing of it can push any more.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::puppet::world::{TOO_MUCH_CPU, World, story};

const RACES: u64 = 40;

/// Cancelled, and at that moment nothing of it was left.
async fn is_cancelled(world: &World, id: BuildId) {
    let ended = world.until_ended(id).await;
    assert_eq!(ended.state, State::Cancelled, "{ended:?}");
    assert!(world.pods(id).await.is_empty(), "it could push yet");
    world.chronicle.gone(id).await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_is_cancelled_before_it_has_a_pod(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            world.quota("pods", "0").await;
            let id = world.submit(json!({})).await;
            world
                .until(id, "the quota is named", |build| build.waiting_reason.is_some())
                .await;
            world.cancel(id).await;
            is_cancelled(world, id).await;
            assert_eq!(world.chronicle.seen().pods_of(id).count(), 0);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_is_cancelled_while_its_pod_waits(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let unbound = async {
                let id = world
                    .submit(json!({ "resources": { "cpu": TOO_MUCH_CPU } }))
                    .await;
                world.chronicle.pod(id, 1).await;
                world.cancel(id).await;
                is_cancelled(world, id).await;
            };
            let bound = async {
                let id = world.submit(json!({})).await;
                let pod = world.chronicle.pod(id, 1).await;
                world.kubelet.bind(&pod).await;
                world.cancel(id).await;
                is_cancelled(world, id).await;
            };
            tokio::join!(unbound, bound);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_that_runs_is_cancelled_when_its_pod_is_gone(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({})).await;
            world.kubelet.prints(&pod, "INFO[0000] RUN make\n");
            world.kubelet.freeze(true);
            world.cancel(id).await;
            world
                .stays(id, Duration::from_secs(3), |build| {
                    build.state == State::Cancelling
                })
                .await;
            world.kubelet.freeze(false);
            is_cancelled(world, id).await;
            // What it had printed is kept.
            world.until_log(id, 1, |text, _| text.contains("RUN make")).await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_is_cancelled_between_two_attempts(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 3 })).await;
            assert!(
                world
                    .kubelet
                    .ends(&pod, 1, Some("error pushing image: connection refused"))
                    .await
            );
            world
                .until(id, "the retry is counted", |build| build.retries == 1)
                .await;
            world.cancel(id).await;
            is_cancelled(world, id).await;
            assert_eq!(world.chronicle.seen().pods_of(id).count(), 1);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_is_cancelled_while_its_pod_is_being_evicted(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({})).await;
            world.kubelet.freeze(true);
            world
                .api::<Pod>()
                .evict(&pod, &EvictParams::default())
                .await
                .expect("the pod is evicted");
            world.cancel(id).await;
            world
                .stays(id, Duration::from_secs(2), |build| {
                    build.state == State::Cancelling
                })
                .await;
            world.kubelet.freeze(false);
            is_cancelled(world, id).await;
            assert_eq!(world.chronicle.seen().pods_of(id).count(), 1);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_cancel_that_nobody_saw_through_is_seen_through_after_a_restart(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, _) = world.running_build(json!({})).await;
            world.kubelet.freeze(true);
            world.cancel(id).await;
            world
                .chronicle
                .until("the Job is told to go", |seen| {
                    seen.job(id)?.metadata.deletion_timestamp.clone()
                })
                .await;
            world.stop().await;
            world.kubelet.freeze(false);
            world.chronicle.gone(id).await;
            world.start();
            is_cancelled(world, id).await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_image_that_was_pushed_before_the_cancel_is_a_success(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({})).await;
            assert!(world.kubelet.ends(&pod, 0, None).await);
            world.cancel(id).await;
            let ended = world.until_ended(id).await;
            assert_eq!(ended.state, State::Succeeded, "{ended:?}");
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn of_a_cancel_and_a_success_that_race_one_wins(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let races = (0..RACES).map(async |seed| (seed, race(world, seed).await));
            let ended = futures::future::join_all(races).await;
            let succeeded = ended
                .iter()
                .filter(|(_, state)| *state == State::Succeeded)
                .count();
            println!("{succeeded} of {RACES} races were won by the success");
            assert!(
                ended
                    .iter()
                    .all(|(_, state)| matches!(state, State::Succeeded | State::Cancelled)),
                "{ended:?}"
            );
        },
    )
    .await;
}

/// Both within some two seconds, which is about what the stopping of a pod takes, in an order that the seed decides.
async fn race(world: &World, seed: u64) -> State {
    let mut random = StdRng::seed_from_u64(seed);
    let (id, pod) = world.running_build(json!({})).await;
    let mut pause = |most| tokio::time::sleep(Duration::from_millis(random.random_range(0..most)));
    let (before_success, before_cancel) = (pause(2000), pause(500));
    let success = async {
        before_success.await;
        let pushed = world.kubelet.ends(&pod, 0, None).await;
        (pushed, tokio::time::Instant::now())
    };
    let cancel = async {
        before_cancel.await;
        let asked = tokio::time::Instant::now();
        world.cancel(id).await;
        asked
    };
    let ((pushed, pushed_at), asked_at) = tokio::join!(success, cancel);
    let ended = world.until_ended(id).await;
    if pushed && pushed_at < asked_at {
        assert_eq!(
            ended.state,
            State::Succeeded,
            "seed {seed}: it was pushed before the cancel"
        );
    }
    assert!(
        pushed || ended.state == State::Cancelled,
        "seed {seed}: nothing was pushed"
    );
    ended.state
}
