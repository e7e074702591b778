//! What the launcher adds to the bare client.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::PostParams};
use serde_json::json;
use slipway::launcher::{Launcher, manifest::manifest};

use crate::{cluster::host, harness::World};

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_launch_takes_one_call_and_hardly_more() {
    let world = World::new().await;
    world.place.quota("pods", "0").await;
    let jobs: Api<Job> = world.place.api();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let order = || {
            world.order(
                json!({ "git": { "url": format!("http://{}:1/team/app.git", host()) } }),
                json!({}),
            )
        };
        let job = manifest(&order(), &world.options).unwrap();
        let begun = Instant::now();
        jobs.create(&PostParams::default(), &job).await.unwrap();
        bare.push(begun.elapsed());
        let order = order();
        let begun = Instant::now();
        world.launcher.launch(&order).await.unwrap();
        ours.push(begun.elapsed());
    }
    let (bare, ours) = (median(bare), median(ours));
    println!("median of the bare call {bare:?}, of a launch {ours:?}");
    // Both share the machine with all else that runs on it; what is to be seen here is a second call, not a millisecond.
    assert!(ours < bare * 2 + Duration::from_millis(2), "{bare:?} {ours:?}");
    world.place.close().await;
}
