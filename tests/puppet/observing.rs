//! What nobody watched is found out all the same.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::{batch::v1::Job, core::v1::ResourceQuota};
use kube::api::DeleteParams;
use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::chronicle::Seen,
    puppet::recorded::Recorded,
    puppet::world::{World, end, story},
};

const MANY: usize = 500;

fn job_has_ended(seen: &Seen, id: BuildId) -> bool {
    let conditions = seen
        .job(id)
        .and_then(|job| job.status.as_ref()?.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|one| matches!(one.type_.as_str(), "Complete" | "Failed"))
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_ended_while_nobody_watched_is_recorded_at_the_start(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let (good, good_pod) = world.running_build(json!({})).await;
            let (bad, bad_pod) = world.running_build(json!({ "max_retries": 0 })).await;
            let (lost, _) = world.running_build(json!({})).await;
            let (dropped, _) = world.running_build(json!({})).await;
            world.stop().await;
            assert!(world.kubelet.ends(&good_pod, 0, None).await);
            let recorded = Recorded::load("run-exit-42");
            world.kubelet.prints(&bad_pod, recorded.log());
            assert!(world.kubelet.shows(&bad_pod, recorded.status()).await);
            let jobs = world.api::<Job>();
            jobs.delete(&lost.job_name(), &DeleteParams::background())
                .await
                .expect("it is deleted");
            world.cancel(dropped).await;
            let all = |seen: &Seen| {
                (job_has_ended(seen, good) && job_has_ended(seen, bad) && seen.is_gone(lost)).then_some(())
            };
            world.chronicle.until("all has happened", all).await;
            world.start();
            assert_eq!(
                end(&world.until_ended(good).await),
                (State::Succeeded, None, None)
            );
            let failed = (State::Failed, Some("build_step_failed"), Some(42));
            assert_eq!(end(&world.until_ended(bad).await), failed);
            assert_eq!(
                world.until_log(bad, 1, |_, whole| whole).await.as_bytes(),
                recorded.log()
            );
            assert_eq!(end(&world.until_ended(dropped).await).0, State::Cancelled);
            let again = world.chronicle.pod(lost, 2).await;
            world.kubelet.starts(&again).await;
            assert!(world.kubelet.ends(&again, 0, None).await);
            assert_eq!(
                end(&world.until_ended(lost).await),
                (State::Succeeded, None, None)
            );
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn many_that_ended_while_nobody_watched_are_recorded_soon_after_the_start(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            // The deployment lets fewer pods be there at once.
            let lifted = world
                .api::<ResourceQuota>()
                .delete("builds", &DeleteParams::default())
                .await;
            lifted.expect("there is a quota");
            let began = Instant::now();
            let builds =
                futures::future::join_all((0..MANY).map(|_| world.submit(json!({ "max_retries": 0 })))).await;
            let pods: Vec<_> = futures::stream::iter(&builds)
                .map(|id| pod_of(world, *id))
                .buffered(MANY)
                .collect()
                .await;
            println!("{MANY} builds were launched after {:?}", began.elapsed());
            let running = async || world.count("running").await == MANY;
            world.until_true("all are known to run", running).await;
            world.stop().await;
            let failed = Recorded::load("bad-dockerfile");
            let ends = futures::stream::iter(pods.iter().enumerate()).map(async |(number, pod)| {
                world.kubelet.bind(pod).await;
                let case = if number % 5 == 0 {
                    failed.status()
                } else {
                    Recorded::load("ok").status()
                };
                world.kubelet.prints(pod, failed.log());
                assert!(world.kubelet.shows(pod, case).await);
            });
            ends.buffer_unordered(16).collect::<Vec<()>>().await;
            let all_ended = |seen: &Seen| builds.iter().all(|id| job_has_ended(seen, *id)).then_some(());
            world
                .chronicle
                .until_within(Duration::from_secs(180), "all Jobs' ends", all_ended)
                .await;
            println!("all Jobs had ended after {:?}", began.elapsed());
            let began = Instant::now();
            world.start();
            world
                .until_true("all ends are recorded", async || {
                    world.count("running").await == 0
                })
                .await;
            println!("{MANY} ends were recorded {:?} after the start", began.elapsed());
            assert_eq!(
                (world.count("failed").await, world.count("succeeded").await),
                (MANY / 5, MANY - MANY / 5)
            );
        },
    )
    .await;
}

async fn pod_of(world: &World, id: BuildId) -> String {
    let named = |seen: &Seen| seen.pod_names(id).next();
    world
        .chronicle
        .until_within(Duration::from_secs(180), id, named)
        .await
}
