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
use super::{
    load,
    postgres::Postgres,
    report::Figure,
    rows::REQUEST,
    run::Run,
    service::{Service, resident_mb},
    stats::percentile,
};

/// The length of the long log.
const LONG: usize = 1 << 30;

struct World {
    service: Service,
    printer: Arc<Printer>,
    beginning: Instant,
    stop: CancellationToken,
}

/// So many builds print so many lines each, at this pace, and each has so many followers.
struct Scene {
    title: &'static str,
    builds: usize,
    followers: usize,
    lines: usize,
    every: Duration,
}

/// Measures.
pub async fn measure(run: &mut Run, postgres: &Postgres) -> Result<()> {
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
    for scene in scenes(run.quick) {
        run.says(scene.title);
        world.followed(run, &scene).await?;
    }
    if run.quick {
        run.not_run("a log of 1 GiB (QUICK)");
    } else {
        run.says("a log of 1 GiB");
        world.long_log(run).await?;
    }
    world.stop.cancel();
    Ok(())
}

impl World {
    async fn followed(&self, run: &mut Run, scene: &Scene) -> Result<()> {
        let Scene {
            title,
            builds,
            followers,
            lines,
            every,
        } = *scene;
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
                let mut pace = tokio::time::interval(every);
                for _ in 0..lines {
                    pace.tick().await;
                    let line = format!("{STAMP}{}\n", beginning.elapsed().as_nanos());
                    output.send(Bytes::from(line)).await?;
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
        let mut add = |what: &str, unit, value| {
            run.figure(Figure::new(format!("{title}: {what}"), unit, vec![value]));
        };
        add("a line's way to a follower, p50", "ms", percentile(&ages, 50.0));
        add("a line's way to a follower, p99", "ms", percentile(&ages, 99.0));
        add("the service's processors", "cores", cpu / took);
        add("the service's memory", "MB", self.service.resident_mb()?);
        Ok(())
    }

    /// A log of a gigabyte, through the follower in this process.
    async fn long_log(&self, run: &mut Run) -> Result<()> {
        let (_, output) = self.build().await?;
        let before = resident_mb("self")?;
        let mut most = before;
        let began = Instant::now();
        let piece: String = (0..1024)
            .map(|n| format!("{n:08} {}\n", "the quick brown fox ".repeat(3)))
            .collect();
        let piece = Bytes::from(piece);
        for n in 0..LONG / piece.len() {
            output.send(piece.clone()).await?;
            if n % 64 == 0 {
                most = most.max(resident_mb("self")?);
            }
        }
        let took = began.elapsed().as_secs_f64();
        run.figure(Figure::new(
            "a log of 1 GiB, followed and stored",
            "s",
            vec![took],
        ));
        run.figure(Figure::new(
            "a log of 1 GiB: memory that it takes at most",
            "MB",
            vec![most - before],
        ));
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

fn scenes(quick: bool) -> [Scene; 4] {
    let every = Duration::from_millis;
    let scene = |title, builds, followers, lines, every| Scene {
        title,
        builds,
        followers,
        lines: if quick { lines / 4 } else { lines },
        every,
    };
    [
        scene("1 follower, a line now and then", 1, 1, 100, every(310)),
        scene("1 follower, 100 lines a second", 1, 1, 1000, every(10)),
        scene("1,000 followers, 1,000 lines a second", 1, 1000, 10_000, every(1)),
        scene(
            "200 builds, each with a follower and 2 lines a second",
            200,
            1,
            40,
            every(500),
        ),
    ]
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
