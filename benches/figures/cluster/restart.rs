//! The service starts beside thousands of running Jobs: how long until it has seen and recorded them all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1::Job, core::v1::Pod},
};
use kube::{Resource, api::ListParams};
use serde::de::DeserializeOwned;
use slipway::{
    dispatcher::{Dispatcher, Options},
    launcher::manifest::selector,
    store::{Slots, Store, StoreOptions},
};
use tokio_util::sync::CancellationToken;

use super::{place::Place, puppet::Kubelet};
use crate::{postgres::Postgres, report::Figure, rows::fill, run::Run, service::Service};

/// Objects on a page of a list, as the launcher's own watches ask for them.
const PAGE: u32 = 500;

/// Measures. The Jobs are made by a dispatcher, and their pods by the Job controller; while no dispatcher runs, the
/// puppet lets all containers begin. Nothing of that is known to the one that is started then.
pub async fn measure(run: &mut Run, place: &Place) -> Result<()> {
    let count: u32 = if run.quick { 500 } else { 5_000 };
    let postgres = Postgres::start()?;
    drop(Service::start(&postgres.url(), &["--role=api"]).await?);
    postgres.sql("TRUNCATE builds, specs, build_events, results, attempts, lanes, lane_counts")?;
    fill(&postgres, count, 1)?;
    run.says(&format!("making {count} Jobs"));
    let before = dispatch(&postgres, place, Duration::from_secs(3600)).await?;
    until(&postgres, "state = 'running'", count, 900).await?;
    before.stop().await?;
    run.says(&format!("{count} containers begin"));
    let kubelet = Kubelet::start(place).await?;
    kubelet.until(count as usize).await;
    let mut limits = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let listed = list::<Job>(place).await? + list::<Pod>(place).await?;
        limits.push(began.elapsed().as_secs_f64());
        ensure!(listed == 2 * count as usize, "{listed} Jobs and pods are there");
    }
    run.says("the dispatcher starts anew");
    let none = postgres.number("SELECT count(*) FROM builds WHERE started_at IS NOT NULL")?;
    ensure!(none < 0.5, "{none} builds were seen to run before they did");
    let began = Instant::now();
    let after = dispatch(&postgres, place, Duration::from_secs(5)).await?;
    until(&postgres, "started_at IS NOT NULL", count, 900).await?;
    let ours = began.elapsed().as_secs_f64();
    run.figure(
        Figure::new(
            format!("from a start to {count} running Jobs seen and recorded"),
            "s",
            vec![ours],
        )
        .beside("a bare client lists Jobs and pods", limits),
    );
    after.stop().await
}

/// A dispatcher that runs in this process, as it does in the service.
struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn dispatch(postgres: &Postgres, place: &Place, recheck: Duration) -> Result<Running> {
    let store = Store::connect(&StoreOptions {
        url: postgres.url().into(),
        direct_url: None,
        max_connections: 20,
        acquire_timeout: Duration::from_secs(5),
        notify: false,
    })?;
    let launcher = Arc::new(place.launcher().await?);
    let dispatcher = Dispatcher::new(store, launcher, options(recheck)?);
    let stop = CancellationToken::new();
    let task = tokio::spawn(dispatcher.run(stop.clone(), CancellationToken::new()));
    Ok(Running { stop, task })
}

fn options(recheck: Duration) -> Result<Options> {
    Ok(Options {
        slots: Slots {
            total: 10_000,
            per_project: 10_000,
        },
        lease: Duration::from_secs(60),
        launches: 32,
        // What is made first waits long for the last.
        pending_deadline: Duration::from_secs(3600),
        waiting_recheck: recheck,
        job_grace: Duration::from_secs(600),
        reconcile_interval: Duration::from_secs(60),
        max_relaunches: 3,
        max_log_bytes: 1 << 20,
        max_log_line: 65_536,
        secrets: Arc::default(),
        internal_url: "http://127.0.0.1/".parse()?,
    })
}

/// Waits until that is true of so many builds.
async fn until(postgres: &Postgres, what: &str, count: u32, seconds: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let query = format!("SELECT count(*) FROM builds WHERE {what}");
    loop {
        let there = postgres.number(&query)?;
        if there >= f64::from(count) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{what} is true of {there} builds, not of {count}, after {seconds} s"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Lists all of a kind, a page after the other.
async fn list<K>(place: &Place) -> Result<usize>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let mut page = ListParams::default().labels(&selector()).limit(PAGE);
    let mut listed = 0;
    loop {
        let some = place.api::<K>().list(&page).await?;
        listed += some.items.len();
        match some.metadata.continue_ {
            Some(token) if !token.is_empty() => page = page.continue_token(&token),
            _ => return Ok(listed),
        }
    }
}
