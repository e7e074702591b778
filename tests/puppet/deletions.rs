//! What somebody else does to a build's Job and pods: deletes, suspends, orphans them.

use std::time::Duration;

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::recorded::Recorded,
    puppet::setup::Setup,
    puppet::world::{World, end, story},
};

const DIGEST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const SUCCEEDED: (State, Option<&str>, Option<i32>) = (State::Succeeded, None, None);

/// The recorded cases that are told here, in `deadlines` and in `nodes`.
pub const TOLD: [&str; 11] = [
    "backoff-1-onfailure",
    "containerd-killed",
    "image-missing-deadline",
    "job-deadline",
    "job-deleted-background",
    "job-deleted-foreground",
    "job-deleted-orphan",
    "kubelet-stopped",
    "pod-deleted",
    "pod-deleted-backoff1",
    "suspended",
];

/// What was recorded where no pod could be: told in `waiting`.
pub const WITHOUT_POD: [&str; 2] = ["no-serviceaccount", "quota"];

async fn delete_job(world: &World, id: BuildId, policy: PropagationPolicy) {
    let how = DeleteParams {
        propagation_policy: Some(policy),
        ..DeleteParams::default()
    };
    world
        .api::<Job>()
        .delete(&id.job_name(), &how)
        .await
        .expect("the Job is deleted");
}

async fn delete_pod(world: &World, pod: &str) {
    world
        .api::<Pod>()
        .delete(pod, &DeleteParams::default())
        .await
        .expect("the pod is deleted");
}

/// The build goes on with its pod of that number, which succeeds.
async fn succeeds_with(world: &World, id: BuildId, number: usize) -> u32 {
    let pod = world.chronicle.pod(id, number).await;
    world.kubelet.starts(&pod).await;
    assert!(world.kubelet.ends(&pod, 0, Some(DIGEST)).await);
    let ended = world.until_ended(id).await;
    assert_eq!(end(&ended), SUCCEEDED, "{ended:?}");
    assert_eq!(ended.digest.expect("a digest").as_str(), DIGEST);
    ended.retries
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_that_is_deleted_with_its_pod_is_made_again(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let policies = [PropagationPolicy::Background, PropagationPolicy::Foreground];
            futures::future::join_all(policies.map(async |policy| {
                let (id, _) = world.running_build(json!({})).await;
                delete_job(world, id, policy).await;
                assert_eq!(
                    succeeds_with(world, id, 2).await,
                    0,
                    "a pod that somebody deleted is no failed attempt"
                );
                assert_eq!(world.chronicle.seen().jobs_of(id).count(), 2);
                assert_eq!(world.attempts(id).await.len(), 2);
            }))
            .await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_that_is_deleted_before_it_has_a_pod_is_made_again(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            world.quota("pods", "0").await;
            let id = world.submit(json!({})).await;
            world
                .until(id, "the quota is named", |build| build.waiting_reason.is_some())
                .await;
            delete_job(world, id, PropagationPolicy::Background).await;
            world
                .chronicle
                .until("another Job", |seen| {
                    (seen.jobs_of(id).count() == 2).then_some(())
                })
                .await;
            let quotas = world.api::<k8s_openapi::api::core::v1::ResourceQuota>();
            quotas
                .delete("quota", &DeleteParams::default())
                .await
                .expect("it is lifted");
            assert_eq!(succeeds_with(world, id, 1).await, 0);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_that_is_deleted_again_and_again_is_lost(_: PgPoolOptions, database: PgConnectOptions) {
    let once = |setup: &mut Setup| setup.dispatcher.max_relaunches = 1;
    story(database, once, async |world| {
        let id = world.submit(json!({})).await;
        for number in 1..=2 {
            world.chronicle.pod(id, number).await;
            world
                .until(id, "the Job is known", |build| build.state == State::Running)
                .await;
            delete_job(world, id, PropagationPolicy::Background).await;
        }
        let ended = world.until_ended(id).await;
        assert_eq!(end(&ended), (State::Failed, Some("job_lost"), None), "{ended:?}");
    })
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_that_outlives_its_job_decides_the_build(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let played = [
                (0, SUCCEEDED),
                (42, (State::Failed, Some("build_step_failed"), Some(42))),
            ];
            futures::future::join_all(played.map(async |(exit_code, expected)| {
                let (id, pod) = world.running_build(json!({})).await;
                delete_job(world, id, PropagationPolicy::Orphan).await;
                world
                    .chronicle
                    .until("the Job is gone", |seen| seen.job(id).is_none().then_some(()))
                    .await;
                world
                    .stays(id, Duration::from_secs(2), |build| build.state == State::Running)
                    .await;
                world.kubelet.prints(&pod, Recorded::load("run-exit-42").log());
                assert!(world.kubelet.ends(&pod, exit_code, None).await);
                assert_eq!(end(&world.until_ended(id).await), expected);
                assert_eq!(
                    world.chronicle.seen().jobs_of(id).count(),
                    1,
                    "it is not made again"
                );
            }))
            .await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_that_somebody_deletes_is_a_failed_attempt(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let last = async {
                let (id, pod) = world.running_build(json!({ "max_retries": 0 })).await;
                delete_pod(world, &pod).await;
                let ended = world.until_ended(id).await;
                assert_eq!((ended.state, ended.retries), (State::Failed, 1), "{ended:?}");
                let failure = ended.failure.expect("it failed");
                assert_eq!(failure.reason.as_str(), "unknown");
                // The pod may be gone before anybody could look at it.
                let told = ["The pod was deleted before", "none of its pods is left"];
                assert!(
                    told.iter().any(|words| failure.message.contains(words)),
                    "{}",
                    failure.message
                );
            };
            let not_last = async {
                let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
                delete_pod(world, &pod).await;
                assert_eq!(succeeds_with(world, id, 2).await, 1);
            };
            tokio::join!(last, not_last);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_a_pod_failed_of_is_known_after_it_is_gone(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 0 })).await;
            world
                .kubelet
                .prints(&pod, Recorded::load("backoff-1-onfailure").log());
            assert!(world.kubelet.ends(&pod, 42, None).await);
            delete_pod(world, &pod).await;
            let ended = world.until_ended(id).await;
            assert_eq!(
                end(&ended),
                (State::Failed, Some("build_step_failed"), Some(42)),
                "{ended:?}"
            );
            assert_eq!(ended.retries, 1);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_suspended_job_waits_until_it_is_resumed(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, _) = world.running_build(json!({})).await;
            let suspend = async |suspend: bool| {
                let patch = Patch::Merge(json!({ "spec": { "suspend": suspend } }));
                let jobs = world.api::<Job>();
                jobs.patch(&id.job_name(), &PatchParams::default(), &patch)
                    .await
                    .expect("the Job is patched");
            };
            suspend(true).await;
            let says = |build: &slipway::domain::Build| {
                build.waiting_message.as_deref() == Some("The Job is suspended.")
            };
            world.until(id, "it says that it is suspended", says).await;
            suspend(false).await;
            succeeds_with(world, id, 2).await;
        },
    )
    .await;
}
