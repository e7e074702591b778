//! Builds whose containers never start: each fails after the pending deadline with the cluster's own reason, and
//! nothing of it is left that could start later.

use std::time::Duration;

use k8s_openapi::api::core::v1::{LimitRange, Namespace};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::recorded::Recorded,
    puppet::setup::Setup,
    puppet::world::{TOO_MUCH_CPU, World, end, story},
};

/// Case, reason, words of the cluster's that the message must have.
pub const WAITS: [(&str, &str, &str); 6] = [
    (
        "hostpath-missing",
        "config_missing",
        "/srv/contexts/nosuch is not a directory",
    ),
    (
        "image-missing",
        "builder_image_unavailable",
        "team/nokaniko:1: not found",
    ),
    (
        "image-name-invalid",
        "builder_image_unavailable",
        "must be lowercase",
    ),
    ("image-never", "builder_image_unavailable", "pull policy of Never"),
    (
        "secret-missing-volume",
        "config_missing",
        "secret \"nosuch\" not found",
    ),
    ("unschedulable-cpu", "unschedulable", "Insufficient cpu"),
];

fn soon(setup: &mut Setup) {
    // Long enough for the test to say what it has to say of a pod while other stories keep the machine busy.
    setup.dispatcher.pending_deadline = Duration::from_secs(15);
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_was_recorded_waiting_is_given_up_with_its_reason(_: PgPoolOptions, database: PgConnectOptions) {
    story(database, soon, async |world| {
        futures::future::join_all(WAITS.map(|(case, reason, words)| wait(world, case, reason, words))).await;
    })
    .await;
}

async fn wait(world: &World, case: &str, reason: &str, words: &str) {
    let recorded = Recorded::load(case);
    let rest = match case {
        "unschedulable-cpu" => json!({ "resources": { "cpu": TOO_MUCH_CPU } }),
        _ => json!({}),
    };
    let id = world.submit(rest).await;
    let pod = world.chronicle.pod(id, 1).await;
    if case != "unschedulable-cpu" {
        world.kubelet.bind(&pod).await;
    }
    assert!(world.kubelet.shows(&pod, recorded.status()).await);
    let uid = world
        .chronicle
        .seen()
        .pods_of(id)
        .find_map(|entry| entry.object.metadata.uid.clone());
    for warning in recorded.warnings(&world.place.namespace, &pod, &uid.expect("a pod has a uid")) {
        world.kubelet.warns(warning).await;
    }
    is_given_up(world, id, reason, words).await;
    assert_eq!(world.chronicle.seen().pods_of(id).count(), 1, "{case}");
}

/// The reason is shown while it waits, and is that of its failure; then all of it goes.
async fn is_given_up(world: &World, id: BuildId, reason: &str, words: &str) {
    let named = |build: &slipway::domain::Build| {
        build.state.is_terminal() || build.waiting_reason.is_some_and(|found| found.as_str() == reason)
    };
    let waiting = world.until(id, "the reason is named", named).await;
    assert_eq!(waiting.state, State::Running, "{waiting:?}");
    let ended = world.until_ended(id).await;
    assert_eq!(end(&ended), (State::Failed, Some(reason), None), "{ended:?}");
    assert_eq!(ended.retries, 0);
    let message = ended.failure.expect("it failed").message;
    assert!(
        message.contains(words) && message.contains("No container started within"),
        "{message}"
    );
    world.chronicle.gone(id).await;
    println!("{reason}: {message}");
}

/// A build of which the cluster makes no pod.
async fn without_pod(world: &World, reason: &str, words: &str) {
    let id = world.submit(json!({})).await;
    is_given_up(world, id, reason, words).await;
    assert_eq!(world.chronicle.seen().pods_of(id).count(), 0);
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_missing_service_account_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    let nosuch = |setup: &mut Setup| {
        soon(setup);
        setup.kubernetes.service_account = Some("nosuch".into());
    };
    story(database, nosuch, async |world| {
        without_pod(world, "config_missing", "serviceaccount \"nosuch\" not found").await;
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_quota_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    story(database, soon, async |world| {
        world.quota("pods", "0").await;
        without_pod(
            world,
            "quota_exceeded",
            "exceeded quota: quota, requested: pods=1",
        )
        .await;
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_limit_range_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    story(database, soon, async |world| {
        let limit = json!({ "type": "Container", "max": { "memory": "1Gi" } });
        let range = json!({ "metadata": { "name": "small" }, "spec": { "limits": [limit] } });
        world.place.create::<LimitRange>(range).await;
        without_pod(
            world,
            "quota_exceeded",
            "maximum memory usage per Container is 1Gi",
        )
        .await;
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn pod_security_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    story(database, soon, async |world| {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        let namespaces = Api::<Namespace>::all(world.place.client.clone());
        let patched = namespaces
            .patch(&world.place.namespace, &PatchParams::default(), &patch)
            .await;
        patched.expect("the namespace is patched");
        without_pod(
            world,
            "quota_exceeded",
            "violates PodSecurity \"restricted:latest\"",
        )
        .await;
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_missing_priority_class_is_named(_: PgPoolOptions, database: PgConnectOptions) {
    let nosuch = |setup: &mut Setup| {
        soon(setup);
        setup.kubernetes.priority_class = Some("nosuch".into());
    };
    story(database, nosuch, async |world| {
        without_pod(
            world,
            "config_missing",
            "no PriorityClass with name nosuch was found",
        )
        .await;
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_quota_that_is_lifted_in_time_lets_the_build_go_on(_: PgPoolOptions, database: PgConnectOptions) {
    use k8s_openapi::api::core::v1::ResourceQuota;
    story(
        database,
        |_| {},
        async |world| {
            world.quota("pods", "0").await;
            let id = world.submit(json!({})).await;
            world
                .until(id, "the quota is named", |build| build.waiting_reason.is_some())
                .await;
            world
                .api::<ResourceQuota>()
                .delete("quota", &Default::default())
                .await
                .expect("it is lifted");
            let pod = world.chronicle.pod(id, 1).await;
            world.kubelet.starts(&pod).await;
            let running = world
                .until(id, "it runs", |build| build.started_at.is_some())
                .await;
            assert_eq!((running.waiting_reason, running.waiting_message), (None, None));
            assert!(world.kubelet.ends(&pod, 0, None).await);
            assert_eq!(end(&world.until_ended(id).await), (State::Succeeded, None, None));
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_wait_between_two_attempts_is_no_wait_for_a_container(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    // Shorter than the 10 s that Kubernetes waits before it tries again.
    let shorter = |setup: &mut Setup| setup.dispatcher.pending_deadline = Duration::from_secs(8);
    story(database, shorter, async |world| {
        let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
        assert!(
            world
                .kubelet
                .ends(&pod, 1, Some("error pushing image: connection refused"))
                .await
        );
        let second = world.chronicle.pod(id, 2).await;
        world.kubelet.starts(&second).await;
        assert!(world.kubelet.ends(&second, 0, None).await);
        let ended = world.until_ended(id).await;
        assert_eq!(
            (end(&ended), ended.retries),
            ((State::Succeeded, None, None), 1),
            "{ended:?}"
        );
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_second_attempt_that_never_starts_is_given_up(_: PgPoolOptions, database: PgConnectOptions) {
    story(database, soon, async |world| {
        let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
        assert!(
            world
                .kubelet
                .ends(&pod, 1, Some("error pushing image: connection refused"))
                .await
        );
        let second = world.chronicle.pod(id, 2).await;
        world.kubelet.bind(&second).await;
        assert!(
            world
                .kubelet
                .shows(&second, Recorded::load("image-never").status())
                .await
        );
        let ended = world.until_ended(id).await;
        assert_eq!(
            end(&ended),
            (State::Failed, Some("builder_image_unavailable"), None),
            "{ended:?}"
        );
        assert_eq!(ended.retries, 1);
        world.chronicle.gone(id).await;
    })
    .await;
}
