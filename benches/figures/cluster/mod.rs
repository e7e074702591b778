//! What an API server takes part in: Jobs are made, containers end, and the service starts anew beside thousands of
//! them. Nothing runs: a puppet of a kubelet says of its pods what the figures need.

mod container_logs;
mod control_plane;
mod creation;
mod ends;
mod place;
mod puppet;
mod restart;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use slipway::{domain::BuildId, launcher::manifest::BUILD_ID};
use tokio::task::JoinHandle;

use self::{control_plane::ControlPlane, place::Place};
use super::{
    report::{Figure, Goal, Limit},
    run::Run,
    stats::percentile,
};

/// Measures. QUICK leaves it out unless it is named: its programs take minutes to compile where that was never done.
pub async fn measure(run: &mut Run, is_named: bool) -> Result<()> {
    if run.quick && !is_named {
        run.not_run("all of it: QUICK measures it only when it is named (QUICK=1 ONLY=cluster)");
        return Ok(());
    }
    run.says("the control plane");
    let control_plane = match ControlPlane::up() {
        Ok(up) => up,
        Err(error) => {
            run.not_run(format!("all of it: there is no control plane: {error:#}"));
            return Ok(());
        }
    };
    let place = Place::new(control_plane).await?;
    let parts = [
        ("Jobs made", creation::measure(run, &place).await),
        ("containers' ends", ends::measure(run, &place).await),
        ("a restart", restart::measure(run, &place).await),
    ];
    for (what, measured) in parts {
        if let Err(error) = measured {
            run.not_run(format!("{what}, which failed: {error:#}"));
        }
    }
    Ok(())
}

/// Tells of each Job, by its build, as long as the task lives, from the moment that this returns.
async fn watch_jobs(
    place: &Place,
    mut seen: impl FnMut(BuildId, &Job) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let jobs: Api<Job> = place.api();
    let mut feed = watcher(jobs, watcher::Config::default())
        .default_backoff()
        .boxed();
    // Its first list is made.
    while let Some(event) = feed.try_next().await? {
        if matches!(event, watcher::Event::InitDone) {
            break;
        }
    }
    Ok(tokio::spawn(async move {
        let mut jobs = feed.applied_objects();
        while let Some(job) = jobs.next().await {
            if let Ok(job) = job
                && let Some(id) = build_of(job.metadata.labels.as_ref())
            {
                seen(id, &job);
            }
        }
    }))
}

/// The build that something belongs to.
fn build_of(labels: Option<&std::collections::BTreeMap<String, String>>) -> Option<BuildId> {
    labels?.get(BUILD_ID)?.parse().ok()
}

/// The middle and the end of two distributions, in milliseconds.
fn distributed(run: &mut Run, what: &str, ours: &[f64], beside: (&str, &[f64]), middle: Goal) {
    for (name, percent, goal) in [("p50", 50.0, middle), ("p99", 99.0, Goal::None)] {
        let mut figure = Figure::new(format!("{what}, {name}"), "ms", vec![percentile(ours, percent)]);
        figure.limit = Some(Limit {
            is_ours: false,
            title: beside.0.to_owned(),
            values: vec![percentile(beside.1, percent)],
        });
        run.figure(figure.goal(goal));
    }
}
