//! How long an idle service takes from the answer to a request until the build is launched.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use slipway::{
    api::{self, ApiOptions, ApiState, HealthState, ListenerOptions, Readiness},
    blobs::Blobs,
    dispatcher::{Dispatcher, Options},
    domain::{BuildId, Sighting, keyring::Keyring},
    launcher::{Change, LaunchError, Launched, Launcher, LauncherError, Order, noop::Noop},
    store::{Slots, Store, StoreOptions},
    telemetry,
};
use tokio_util::sync::CancellationToken;

use super::{
    REQUEST,
    deliveries::{KEY, Sender},
    load::Client,
    postgres::Postgres,
    stats::percentile,
};

/// Requests that are measured.
const SAMPLES: usize = 300;

/// Notes when it is called, and does nothing.
#[derive(Default)]
struct Noting {
    inner: Noop,
    launched: Mutex<Vec<Instant>>,
}

#[async_trait]
impl Launcher for Noting {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        self.launched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Instant::now());
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

/// Measures and prints. API and dispatcher run in this process, so that one clock tells both moments; the launch is
/// called after the claim's commit, so the claim is committed earlier than what is shown.
pub async fn measure(postgres: &Postgres) -> Result<()> {
    let store = Store::connect(&StoreOptions {
        url: postgres.url().into(),
        direct_url: None,
        max_connections: 20,
        acquire_timeout: Duration::from_secs(5),
        notify: true,
    })?;
    store.migrate().await?;
    let launcher = Arc::new(Noting::default());
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let contexts = tempfile::tempdir()?;
    let (creator, batcher) = store.creator(1024);
    let health = HealthState::new(store.clone(), Readiness::default(), telemetry::start_metrics()?);
    let blobs = Blobs::from_url(&contexts.path().display().to_string())?;
    let keys = Keyring::from_settings(&KEY.to_owned().into())?;
    let api_options = ApiOptions {
        deliveries_per_minute: 0,
        ..ApiOptions::default()
    };
    let state = ApiState::new(health, creator, blobs, api_options).with_keyring(Some(Arc::new(keys)));
    let router = api::router(state.without_authentication());
    tokio::spawn(batcher);
    tokio::spawn(api::serve(
        listener,
        router,
        ListenerOptions::default(),
        stop.clone(),
        stop.clone(),
    ));
    tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run_wakeups(stop).await }
    });
    let dispatcher = Dispatcher::new(store.clone(), launcher.clone(), options(&address));
    tokio::spawn(dispatcher.run(stop.clone(), stop.clone()));

    let mut client = Client::connect(&address).await?;
    let waits = launcher
        .waits(async || {
            let answer = client.post("/api/v1/builds", REQUEST).await?;
            anyhow::ensure!(answer.status == 201, "{}", answer.status);
            Ok(Instant::now())
        })
        .await?;
    for (name, percent, goal) in [("p50", 50.0, 1.5), ("p99", 99.0, 3.0)] {
        let name = format!("ms from the answer to the launch, idle, {name}");
        println!(
            "{name:<46} {:>12.2} {:>12} {:>7} {goal:>6.1}",
            percentile(&waits, percent),
            "",
            ""
        );
    }
    let sender = Sender::new(&mut client).await?;
    let waits = launcher
        .waits(async || {
            let sent = Instant::now();
            sender.deliver(&mut client).await?;
            Ok(sent)
        })
        .await?;
    for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
        let name = format!("ms from a delivery to the launch, idle, {name}");
        println!("{name:<46} {:>12.2}", percentile(&waits, percent));
    }
    stop.cancel();
    Ok(())
}

impl Noting {
    fn launched(&self) -> Vec<Instant> {
        let launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        launched.clone()
    }

    /// Milliseconds from what `ask` answers to the launch that it leads to, one after the other.
    async fn waits(&self, mut ask: impl AsyncFnMut() -> Result<Instant>) -> Result<Vec<f64>> {
        let before = self.launched().len();
        let mut asked = Vec::with_capacity(SAMPLES);
        for n in 0..SAMPLES {
            asked.push(ask().await?);
            while self.launched().len() <= before + n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let launched = self.launched();
        let pairs = asked.iter().zip(&launched[before..]);
        Ok(pairs
            .map(|(asked, launch)| launch.saturating_duration_since(*asked).as_secs_f64() * 1000.0)
            .collect())
    }
}

fn options(address: &str) -> Options {
    Options {
        slots: Slots {
            total: 100,
            per_project: 100,
        },
        lease: Duration::from_secs(60),
        launches: 32,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        reconcile_interval: Duration::from_secs(60),
        max_relaunches: 3,
        max_log_bytes: 1 << 20,
        max_log_line: 65_536,
        secrets: Arc::default(),
        internal_url: format!("http://{address}/")
            .parse()
            .expect("a socket address makes a valid address"),
    }
}
