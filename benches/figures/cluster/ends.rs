//! From a container's end until a client has the result.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;
use slipway::{domain::BuildId, launcher::manifest::selector};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::{build_of, distributed, place::Place, puppet::Kubelet, watch_jobs};
use crate::{latency::created, load::Client, postgres::Postgres, report::Goal, run::Run};

/// The conditions by which a Job has succeeded.
const ENDS: [&str; 2] = ["SuccessCriteriaMet", "Complete"];

/// When things were first seen, by build.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<BuildId, Instant>>>);

impl Seen {
    fn builds(&self) -> MutexGuard<'_, HashMap<BuildId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, id: BuildId) {
        self.builds().entry(id).or_insert_with(Instant::now);
    }

    async fn when(&self, id: BuildId) -> Result<Instant> {
        for _ in 0..60_000 {
            if let Some(at) = self.builds().get(&id) {
                return Ok(*at);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("nothing was seen of the end of {id}")
    }
}

/// Measures: the containers end one after the other, and each is waited for in three places.
pub async fn measure(run: &mut Run, place: &Place) -> Result<()> {
    let samples = if run.quick { 15 } else { 60 };
    let postgres = Postgres::start()?;
    let kubelet = Kubelet::start(place).await?;
    let service = place.service(&postgres.url()).await?;
    run.says(&format!("{samples} containers begin"));
    let mut client = Client::connect(&service.address()).await?;
    let mut builds = Vec::new();
    for _ in 0..samples {
        builds.push(created(&mut client).await?.0);
    }
    for id in &builds {
        until_started(&mut client, *id).await?;
    }
    let (ended, complete) = (Seen::default(), Seen::default());
    let watches = [
        watch_ends(place, ended.clone()),
        watch_conditions(place, complete.clone()).await?,
    ];
    run.says("they end");
    let [mut results, mut ends, mut conditions] = [const { Vec::new() }; 3];
    for id in builds {
        let follower = followed(&service.address(), id).await?;
        let began = Instant::now();
        kubelet.end(id).await?;
        let millis = |at: Instant| at.saturating_duration_since(began).as_secs_f64() * 1000.0;
        results.push(millis(follower.await??));
        ends.push(millis(ended.when(id).await?));
        conditions.push(millis(complete.when(id).await?));
    }
    watches.iter().for_each(JoinHandle::abort);
    let what = "a container's end to its build's, beside the";
    let pods = ("a bare watch of pods", ends.as_slice());
    distributed(run, &format!("{what} pod's"), &results, pods, Goal::None);
    let jobs = ("a bare watch of the Jobs' conditions", conditions.as_slice());
    distributed(run, &format!("{what} Job's"), &results, jobs, Goal::None);
    drop(service);
    drop(kubelet);
    place.clear().await
}

/// Waits until the service knows that the container runs.
async fn until_started(client: &mut Client, id: BuildId) -> Result<()> {
    for _ in 0..1200 {
        let answer = client.get(&format!("/api/v1/builds/{id}")).await?;
        ensure!(answer.status == 200, "{}", answer.status);
        let build: Value = serde_json::from_slice(&answer.body)?;
        if !build["started_at"].is_null() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the container of {id} does not start")
}

/// Follows a build's events as a client does: the moment at which it is told of the end, and what it ended as.
async fn followed(address: &str, id: BuildId) -> Result<JoinHandle<Result<Instant>>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /api/v1/builds/{id}/events HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    let mut buffer = vec![0; 16 * 1024];
    // What has happened is told first: then the service listens.
    while !text.contains("event: state") {
        text.push_str(&read(&mut stream, &mut buffer).await?);
    }
    Ok(tokio::spawn(async move {
        while !text.contains("event: end") {
            text.push_str(&read(&mut stream, &mut buffer).await?);
        }
        let at = Instant::now();
        ensure!(text.contains("succeeded"), "it did not succeed: {text}");
        Ok(at)
    }))
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<String> {
    let read = stream.read(buffer).await?;
    ensure!(read > 0, "the stream of events ended");
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}

/// When the API server shows that a pod has ended.
fn watch_ends(place: &Place, seen: Seen) -> JoinHandle<()> {
    let api: Api<Pod> = place.api();
    let ours = watcher::Config::default().labels(&selector());
    tokio::spawn(async move {
        let mut pods = watcher(api, ours).default_backoff().applied_objects().boxed();
        while let Some(pod) = pods.next().await {
            let Ok(pod) = pod else { continue };
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if phase == Some("Succeeded")
                && let Some(id) = build_of(pod.metadata.labels.as_ref())
            {
                seen.now(id);
            }
        }
    })
}

/// When the Job controller says that a Job has succeeded.
async fn watch_conditions(place: &Place, seen: Seen) -> Result<JoinHandle<()>> {
    watch_jobs(place, move |id, job| {
        if has_succeeded(job) {
            seen.now(id);
        }
    })
    .await
    .context("a watch of Jobs")
}

fn has_succeeded(job: &Job) -> bool {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| ENDS.contains(&condition.type_.as_str()) && condition.status == "True")
}
