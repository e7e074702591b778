//! How long it takes from the answer to a request until the build is launched: idle, and under load.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;
use slipway::{
    domain::{BuildId, Sighting},
    launcher::{Change, LaunchError, Launched, Launcher, LauncherError, Order, noop::Noop},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{
    deliveries::Sender,
    inside::Inside,
    load::Client,
    postgres::Postgres,
    report::{Curve, Figure, Goal},
    rows::REQUEST,
    run::Run,
    stats::{cumulated, histogram, percentile},
};

/// Builds that may run at once.
const SLOTS: u32 = 100;
/// Clients that create builds beside those that are measured, and the pause of each between two.
const LOAD: (usize, Duration) = (8, Duration::from_millis(20));

/// Between two measurements, so that everything is idle again.
const PAUSE: Duration = Duration::from_millis(15);

/// Notes when it is called, and does nothing.
#[derive(Default)]
struct Noting {
    inner: Noop,
    launched: Mutex<Vec<(BuildId, Instant)>>,
}

#[async_trait]
impl Launcher for Noting {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        self.launched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((order.id, Instant::now()));
        self.inner.launch(order).await
    }
    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        self.inner.look(id).await
    }
    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        self.inner.list().await
    }
    fn changes(&self) -> BoxStream<'static, Change> {
        self.inner.changes()
    }
    async fn stop_retrying(&self, id: BuildId) -> Result<(), LauncherError> {
        self.inner.stop_retrying(id).await
    }
    async fn start_attempt(&self, order: &Order, number: u32) -> Result<(), LaunchError> {
        self.inner.start_attempt(order, number).await
    }
    async fn remove(&self, id: BuildId) -> Result<(), LauncherError> {
        self.inner.remove(id).await
    }
    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        self.inner.log(id, attempt, from).await
    }
    async fn ready(&self) -> Result<(), LauncherError> {
        Ok(())
    }
}

/// Milliseconds from a creation's answer to the launch, idle.
pub async fn idle(postgres: &Postgres, samples: usize) -> Result<Vec<f64>> {
    let launcher = Arc::new(Noting::default());
    let inside = Inside::start(&postgres.url(), launcher.clone(), SLOTS).await?;
    let mut client = Client::connect(&inside.address).await?;
    launcher.waits(samples, async || created(&mut client).await).await
}

/// Measures. API and dispatcher run in this process, so that one clock tells both moments; the launch is called after
/// the claim's commit, so the claim is committed earlier than what is shown.
pub async fn measure(run: &mut Run, postgres: &Postgres) -> Result<()> {
    let samples = if run.quick { 150 } else { 1000 };
    let launcher = Arc::new(Noting::default());
    let inside = Inside::start(&postgres.url(), launcher.clone(), SLOTS).await?;
    let address = inside.address.clone();
    let mut client = Client::connect(&address).await?;
    let mut measured = Vec::new();
    run.says("idle, creations");
    let mut bare = PgConnection::connect(&postgres.url()).await?;
    let (mut idle, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        idle.extend(launcher.waits(1, async || created(&mut client).await).await?);
        bares.push(round_trips(&mut bare).await?);
        tokio::time::sleep(PAUSE).await;
    }
    distributed_beside(
        run,
        "from a creation's answer to the launch, idle",
        &idle,
        [Goal::Most(1.5), Goal::Most(3.0)],
        Some(("a lock, a row and its commit, by one connection", &bares)),
    );
    measured.push(("created, idle".to_owned(), idle));
    let sender = Sender::new(&mut client).await?;
    run.says("idle, deliveries");
    let delivered = launcher
        .waits(samples, async || {
            let sent = Instant::now();
            let answer = sender.deliver(&mut client).await?;
            Ok((build_of(&answer.body)?, sent))
        })
        .await?;
    distributed(
        run,
        "from a delivery's arrival to the launch, idle",
        &delivered,
        [Goal::None, Goal::None],
    );
    measured.push(("delivered, idle".to_owned(), delivered));
    run.says("under load, creations");
    let load = loaded(&address).await?;
    let busy = launcher
        .waits(samples, async || created(&mut client).await)
        .await?;
    drop(load);
    let title = format!(
        "from a creation's answer to the launch, {} others a second",
        LOAD.0 * 1000 / LOAD.1.as_millis() as usize
    );
    distributed(run, &title, &busy, [Goal::None, Goal::None]);
    measured.push(("created, under load".to_owned(), busy));
    drawn(run, &measured);
    Ok(())
}

impl Noting {
    /// When a build was launched.
    fn launched(&self, id: BuildId) -> Option<Instant> {
        let launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        launched
            .iter()
            .rev()
            .find(|(launched, _)| *launched == id)
            .map(|(_, at)| *at)
    }

    /// Milliseconds from the moment that `ask` answers to the launch of its build, one after the other.
    async fn waits(
        &self,
        samples: usize,
        mut ask: impl AsyncFnMut() -> Result<(BuildId, Instant)>,
    ) -> Result<Vec<f64>> {
        let mut waits = Vec::with_capacity(samples);
        for _ in 0..samples {
            let (id, asked) = ask().await?;
            let launched = loop {
                if let Some(at) = self.launched(id) {
                    break at;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            waits.push(launched.saturating_duration_since(asked).as_secs_f64() * 1000.0);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(waits)
    }
}

/// A build that is created now.
pub async fn created(client: &mut Client) -> Result<(BuildId, Instant)> {
    let answer = client.post("/api/v1/builds", REQUEST).await?;
    let at = Instant::now();
    ensure!(answer.status == 201, "{}", answer.status);
    let body: Value = serde_json::from_slice(&answer.body)?;
    Ok((body["id"].as_str().context("it has an id")?.parse()?, at))
}

/// The build that a delivery made.
fn build_of(answer: &[u8]) -> Result<BuildId> {
    let body: Value = serde_json::from_slice(answer)?;
    let id = body["builds"][0]
        .as_str()
        .or_else(|| body["builds"][0]["id"].as_str());
    Ok(id.with_context(|| body.to_string())?.parse()?)
}

/// Clients that go on until this is dropped.
async fn loaded(address: &str) -> Result<JoinSet<Result<()>>> {
    let mut clients = JoinSet::new();
    for _ in 0..LOAD.0 {
        let mut client = Client::connect(address).await?;
        clients.spawn(async move {
            let mut pace = tokio::time::interval(LOAD.1);
            loop {
                pace.tick().await;
                created(&mut client).await?;
            }
        });
    }
    Ok(clients)
}

/// Milliseconds of the least that a claim does in the database: no launch is asked for sooner.
async fn round_trips(db: &mut PgConnection) -> Result<f64> {
    let began = Instant::now();
    let mut transaction = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1, 1)")
        .execute(&mut *transaction)
        .await?;
    // A difference of nothing changes no sum.
    sqlx::query("INSERT INTO lane_counts (project_id, priority, queued) VALUES (1, 0, 0)")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// The middle and the end of what was measured.
fn distributed(run: &mut Run, title: &str, waits: &[f64], goals: [Goal; 2]) {
    distributed_beside(run, title, waits, goals, None);
}

/// Likewise, beside those of a limit.
fn distributed_beside(
    run: &mut Run,
    title: &str,
    waits: &[f64],
    goals: [Goal; 2],
    limit: Option<(&str, &[f64])>,
) {
    for ((name, percent), goal) in [("p50", 50.0), ("p99", 99.0)].into_iter().zip(goals) {
        let mut figure = Figure::new(format!("{title}, {name}"), "ms", vec![percentile(waits, percent)]);
        if let Some((what, limit)) = limit {
            figure = figure.beside(what, vec![percentile(limit, percent)]);
        }
        run.figure(figure.goal(goal));
    }
}

/// What was measured as a whole: how often each time was taken, and how many were within it.
fn drawn(run: &mut Run, measured: &[(String, Vec<f64>)]) {
    let lines = |of: fn(&[f64]) -> Vec<(f64, f64)>| {
        let lines = measured.iter();
        lines.map(|(name, waits)| (name.clone(), of(waits))).collect()
    };
    for (name, title, lines) in [
        (
            "latency",
            "How many builds are launched within a time",
            lines(cumulated),
        ),
        (
            "latency-histogram",
            "How often a launch took how long",
            lines(histogram),
        ),
    ] {
        run.curve(Curve {
            name: name.to_owned(),
            title: title.to_owned(),
            axes: ["milliseconds".to_owned(), "percent".to_owned()],
            by_factors: true,
            lines,
        });
    }
}
