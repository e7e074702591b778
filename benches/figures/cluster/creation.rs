//! Jobs made by our launcher beside those that a bare client makes of the same manifests; then through the whole
//! service.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::PostParams};
use slipway::{
    domain::BuildId,
    launcher::{
        Launcher, Order,
        kubernetes::Kubernetes,
        manifest::{MANAGED_BY, manifest},
    },
};

use super::{
    control_plane::Pause,
    distributed,
    place::{Place, order},
    watch_jobs,
};
use crate::{
    latency::created,
    load::Client,
    postgres::Postgres,
    report::{Figure, Goal},
    run::Run,
};

/// Calls that are under way at once, and Jobs that are made so in one round.
const CONCURRENCY: [(usize, usize); 3] = [(1, 200), (8, 400), (32, 800)];

/// Measures.
pub async fn measure(run: &mut Run, place: &Place) -> Result<()> {
    let pause = Pause::begin().await?;
    by_the_launcher(run, place).await?;
    by_the_service(run, place).await?;
    place.clear().await?;
    drop(pause);
    place.settle().await
}

async fn by_the_launcher(run: &mut Run, place: &Place) -> Result<()> {
    let launcher = place.launcher().await?;
    // Connections come about, and are not measured.
    ours(&launcher, 32, 200).await?;
    bare(place, 32, 200).await?;
    for (calls, jobs) in CONCURRENCY {
        let jobs = if run.quick { jobs / 4 } else { jobs };
        let mut sides = [Side::default(), Side::default()];
        // Short rounds, and more of them: the API server's own work comes and goes by the second.
        let rounds = 2 * run.rounds;
        for round in 1..=rounds {
            run.says(&format!(
                "round {round} of {rounds}, Jobs by {calls} calls at once"
            ));
            // Whoever comes second finds an API server that is warm, and an etcd that has more to compact.
            for side in if round % 2 == 0 { [1, 0] } else { [0, 1] } {
                let made = match side {
                    0 => ours(&launcher, calls, jobs).await?,
                    _ => bare(place, calls, jobs).await?,
                };
                sides[side].add(made);
                place.clear().await?;
            }
        }
        let [launched, posted] = sides;
        run.figure(
            Figure::new(
                format!("Jobs made, {calls} calls at once"),
                "a second",
                launched.rates,
            )
            .beside("a bare client", posted.rates)
            .goal(Goal::Ratio(0.9)),
        );
        let what = format!("one Job's creation, {calls} calls at once");
        let goal = if calls == 1 { Goal::Above(2.0) } else { Goal::None };
        distributed(
            run,
            &what,
            &launched.times,
            ("a bare client", &posted.times),
            goal,
        );
    }
    Ok(())
}

/// What rounds came to.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    times: Vec<f64>,
}

impl Side {
    fn add(&mut self, (rate, times): (f64, Vec<f64>)) {
        self.rates.push(rate);
        self.times.extend(times);
    }
}

fn orders(count: usize) -> Result<Vec<Order>> {
    (0..count).map(|_| order()).collect()
}

async fn ours(launcher: &Kubernetes, calls: usize, jobs: usize) -> Result<(f64, Vec<f64>)> {
    made(calls, orders(jobs)?, async |order| {
        let launched = launcher.launch(&order).await?;
        ensure!(!launched.adopted, "the Job was there already");
        Ok(())
    })
    .await
}

async fn bare(place: &Place, calls: usize, jobs: usize) -> Result<(f64, Vec<f64>)> {
    let options = place.options()?;
    let manifests: Vec<Job> = orders(jobs)?
        .iter()
        .map(|order| manifest(order, &options))
        .collect::<Result<_, _>>()?;
    let api: Api<Job> = place.api();
    made(calls, manifests, async |job| {
        api.create(&PostParams::default(), &job).await?;
        Ok(())
    })
    .await
}

/// Makes all of them, so many calls at once: how many a second, and the milliseconds of each call.
async fn made<T>(calls: usize, all: Vec<T>, make: impl AsyncFn(T) -> Result<()>) -> Result<(f64, Vec<f64>)> {
    let make = &make;
    let began = Instant::now();
    let times: Vec<f64> = stream::iter(all)
        .map(async |one| {
            let began = Instant::now();
            make(one).await?;
            anyhow::Ok(began.elapsed().as_secs_f64() * 1000.0)
        })
        .buffer_unordered(calls)
        .try_collect()
        .await?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let count = times.len() as f64;
    Ok((count / began.elapsed().as_secs_f64(), times))
}

/// When a watch first showed each Job.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<HashMap<BuildId, Instant>>>);

impl Shown {
    fn jobs(&self) -> MutexGuard<'_, HashMap<BuildId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn when(&self, id: BuildId) -> Result<Instant> {
        for _ in 0..10_000 {
            if let Some(at) = self.jobs().get(&id) {
                return Ok(*at);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::bail!("the Job of {id} was not made")
    }
}

/// From a creation's answer until a watch shows the Job; beside a bare client's call until the same watch shows its.
async fn by_the_service(run: &mut Run, place: &Place) -> Result<()> {
    let samples = if run.quick { 50 } else { 300 };
    run.says("Jobs through the service");
    let postgres = Postgres::start()?;
    let service = place.service(&postgres.url()).await?;
    let shown = Shown::default();
    let watch = watch_jobs(place, {
        let shown = shown.clone();
        move |id, _| {
            shown.jobs().entry(id).or_insert_with(Instant::now);
        }
    })
    .await?;
    let mut client = Client::connect(&service.address()).await?;
    let jobs: Api<Job> = place.api();
    let options = place.options()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        let (id, answered) = created(&mut client).await?;
        ours.push(since(answered, shown.when(id).await?));
        let order = order()?;
        let manifest = somebody_elses(manifest(&order, &options)?);
        let called = Instant::now();
        jobs.create(&PostParams::default(), &manifest)
            .await
            .context("a bare creation")?;
        bare.push(since(called, shown.when(order.id).await?));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    watch.abort();
    // A claim is to be committed within 1.5 ms, and its Job made within 2 ms more than a bare call takes.
    distributed(
        run,
        "from a creation's answer to its Job, seen by a watch",
        &ours,
        ("a bare call to its Job", &bare),
        Goal::Above(3.5),
    );
    Ok(())
}

/// The service would look after a Job with its label, whose build it does not know.
fn somebody_elses(mut job: Job) -> Job {
    let labels = job.metadata.labels.get_or_insert_default();
    labels.insert(MANAGED_BY.0.to_owned(), "nobody".to_owned());
    job
}

/// Milliseconds between two moments.
fn since(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}
