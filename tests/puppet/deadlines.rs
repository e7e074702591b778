//! The two deadlines of a build: its pod's, which is its timeout, and its Job's, which is wider and takes all with it.

use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::kubelet::{container, terminated},
    puppet::recorded::Recorded,
    puppet::setup::Setup,
    puppet::world::{World, end, story},
};

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_past_its_deadline_is_not_tried_again(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 2 })).await;
            world.kubelet.prints(&pod, "INFO[0000] RUN sleep 600\n");
            let late = json!({
                "phase": "Failed", "reason": "DeadlineExceeded",
                "message": "Pod was active on the node longer than the specified deadline",
                "containerStatuses": [container(terminated(2, "Error", None))],
            });
            assert!(world.kubelet.shows(&pod, late).await);
            let ended = world.until_ended(id).await;
            assert_eq!(
                end(&ended),
                (State::Failed, Some("timed_out"), Some(2)),
                "{ended:?}"
            );
            assert_eq!(
                (ended.retries, world.chronicle.seen().pods_of(id).count()),
                (1, 1)
            );
            assert!(
                world
                    .until_log(id, 1, |_, whole| whole)
                    .await
                    .contains("RUN sleep 600")
            );
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_job_past_its_own_deadline_has_timed_out(_: PgPoolOptions, database: PgConnectOptions) {
    // Twice the timeout and the time to wait, as the manifest has it: 12 s, in which the pod begins to run.
    let soon = |setup: &mut Setup| setup.kubernetes.pending_seconds = 5;
    let request = || json!({ "timeout_seconds": 1, "max_retries": 0 });
    story(database, soon, async |world| {
        let running = async {
            let (id, pod) = world.running_build(request()).await;
            world.kubelet.prints(&pod, Recorded::load("job-deadline").log());
            times_out(world, id).await;
        };
        let waiting = async {
            let id = world.submit(request()).await;
            let pod = world.chronicle.pod(id, 1).await;
            world.kubelet.bind(&pod).await;
            assert!(
                world
                    .kubelet
                    .shows(&pod, Recorded::load("image-missing").status())
                    .await
            );
            times_out(world, id).await;
        };
        tokio::join!(running, waiting);
    })
    .await;
}

async fn times_out(world: &World, id: BuildId) {
    let ended = world.until_ended(id).await;
    assert_eq!(ended.state, State::Failed);
    let failure = ended.failure.expect("it failed");
    assert_eq!(failure.reason.as_str(), "timed_out");
    println!("{}", failure.message);
}
