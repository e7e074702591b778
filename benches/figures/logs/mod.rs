//! Logs: how soon a printed line arrives at who follows, what many followers cost, and what a long log takes.
//!
//! The API is a process of its own; the dispatcher, which follows what the builds print, is in this one, as on another
//! replica. A cluster's own delay, from a container to whoever reads its log, is not in these figures.

mod client;
mod printer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use slipway::{
    dispatcher::{Dispatcher, Options},
    domain::BuildId,
    store::{Slots, Store, StoreOptions},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{client::STAMP, printer::Printer};
use super::{REQUEST, load, postgres::Postgres, service::Service, stats::percentile};

/// The length of the long log.
const LONG: usize = 1 << 30;

struct World {
    service: Service,
    printer: Arc<Printer>,
    beginning: Instant,
    stop: CancellationToken,
}

/// Measures and prints.
pub async fn measure(postgres: &Postgres) -> Result<()> {
    let service = Service::start(&postgres.url(), &["--role=api"]).await?;
    let printer = Arc::new(Printer::default());
    let stop = CancellationToken::new();
    let store = store(&postgres.url())?;
    tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run_wakeups(stop).await }
    });
    let dispatcher = Dispatcher::new(store, printer.clone(), options());
    tokio::spawn(dispatcher.run(stop.clone(), stop.clone()));
    let world = World {
        service,
        printer,
        beginning: Instant::now(),
        stop,
    };
    let line_every = |millis| Duration::from_millis(millis);
    world
        .followed("1 follower, a line now and then", 1, 1, 100, line_every(310))
        .await?;
    world
        .followed("1 follower, 100 lines a second", 1, 1, 1000, line_every(10))
        .await?;
    world
        .followed("500 followers of 1 build", 1, 500, 200, line_every(100))
        .await?;
    world
        .followed("1 follower each of 200 builds", 200, 1, 40, line_every(500))
        .await?;
    world.long_log().await?;
    world.stop.cancel();
    Ok(())
}

impl World {
    /// So many builds print so many lines each, and each has so many followers.
    async fn followed(
        &self,
        what: &str,
        builds: usize,
        followers: usize,
        lines: usize,
        every: Duration,
    ) -> Result<()> {
        let mut outputs = Vec::new();
        let mut clients = JoinSet::new();
        for _ in 0..builds {
            let (id, output) = self.build().await?;
            outputs.push(output);
            for _ in 0..followers {
                let (begun, begins) = oneshot::channel();
                let address = self.service.address();
                clients.spawn(client::follow(address, id, lines, self.beginning, begun));
                begins.await.context("a client did not begin")?;
            }
        }
        let (cpu, began) = (self.service.cpu_seconds()?, Instant::now());
        let mut prints = JoinSet::new();
        for (n, output) in outputs.into_iter().enumerate() {
            let beginning = self.beginning;
            prints.spawn(async move {
                // Not all at the same moment.
                tokio::time::sleep(every.mul_f64(stagger(n))).await;
                for _ in 0..lines {
                    let line = format!("{STAMP}{}\n", beginning.elapsed().as_nanos());
                    output.send(Bytes::from(line)).await?;
                    tokio::time::sleep(every).await;
                }
                anyhow::Ok(output)
            });
        }
        let mut ages = Vec::new();
        while let Some(ended) = clients.join_next().await {
            ages.extend(ended??);
        }
        let cpu = self.service.cpu_seconds()? - cpu;
        let took = began.elapsed().as_secs_f64();
        println!(
            "{what:<46} p50 {:.1} ms, p99 {:.1} ms; the service: {cpu:.2} s of CPU in {took:.1} s, {:.1} MB",
            percentile(&ages, 50.0),
            percentile(&ages, 99.0),
            self.service.resident_mb()?
        );
        Ok(())
    }

    /// A log of a gigabyte, through the follower in this process.
    async fn long_log(&self) -> Result<()> {
        let (id, output) = self.build().await?;
        let before = super::service::resident_mb("self")?;
        let mut most = before;
        let began = Instant::now();
        let piece: String = (0..1024)
            .map(|n| format!("{n:08} {}\n", "the quick brown fox ".repeat(3)))
            .collect();
        let piece = Bytes::from(piece);
        for n in 0..LONG / piece.len() {
            output.send(piece.clone()).await?;
            if n % 64 == 0 {
                most = most.max(super::service::resident_mb("self")?);
            }
        }
        let took = began.elapsed().as_secs_f64();
        println!(
            "{:<46} {took:.1} s; this process: {before:.1} MB before, at most {most:.1} MB; build {id}",
            "a log of 1 GiB through the follower"
        );
        Ok(())
    }

    /// A build that runs, and where what it prints goes in.
    async fn build(&self) -> Result<(BuildId, mpsc::Sender<Bytes>)> {
        let mut client = load::Client::connect(&self.service.address()).await?;
        let answer = client.post("/api/v1/builds", REQUEST).await?;
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let id: BuildId = body["id"].as_str().context("no id")?.parse()?;
        loop {
            if let Some(output) = self.printer.output(id) {
                return Ok((id, output));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A part of one, another for each `n`.
fn stagger(n: usize) -> f64 {
    f64::from(u32::try_from(n * 37 % 100).unwrap_or_default()) / 100.0
}

fn store(url: &str) -> Result<Store> {
    Ok(Store::connect(&StoreOptions {
        url: url.into(),
        direct_url: None,
        max_connections: 20,
        acquire_timeout: Duration::from_secs(5),
        notify: true,
    })?)
}

fn options() -> Options {
    Options {
        slots: Slots {
            total: 1000,
            per_project: 1000,
        },
        lease: Duration::from_secs(60),
        launches: 32,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        reconcile_interval: Duration::from_secs(60),
        max_relaunches: 3,
        max_log_bytes: 4 << 30,
        max_log_line: 65_536,
        secrets: Arc::default(),
        internal_url: "http://127.0.0.1/".parse().expect("a valid address"),
    }
}
