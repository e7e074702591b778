//! The same figures of ours: through HTTP, and a dispatcher whose launcher does nothing.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Measured, Sizes};
use crate::{
    latency,
    postgres::Postgres,
    queue::{NO_LAUNCHER, drained},
    rows::{clear, fill},
    service::Service,
};

/// Measures.
pub async fn measure(postgres: &Postgres, sizes: &Sizes) -> Result<Measured> {
    let api = Service::start(&postgres.url(), &["--role=api"]).await?;
    clear(postgres)?;
    let added = api.rate(32, sizes.seconds).await?;
    drop(api);
    let mut measured = Measured::from([
        ("enqueue".to_owned(), vec![added]),
        ("enqueue_batches".to_owned(), vec![added]),
    ]);
    let drains = [
        drained(postgres, sizes.jobs).await?,
        drained(postgres, sizes.jobs).await?,
    ];
    measured.insert("drain".to_owned(), drains.to_vec());
    clear(postgres)?;
    let waits = latency::idle(postgres, sizes.samples as usize).await?;
    measured.insert("latency".to_owned(), waits);
    if sizes.backlog > 0 {
        let rate = from_backlog(postgres, sizes).await?;
        measured.insert("backlog".to_owned(), vec![rate]);
    }
    Ok(measured)
}

/// Builds a second that start, of many more that wait.
async fn from_backlog(postgres: &Postgres, sizes: &Sizes) -> Result<f64> {
    clear(postgres)?;
    fill(postgres, sizes.backlog, 1)?;
    postgres.sql("ANALYZE builds; CHECKPOINT")?;
    let service = Service::dispatcher(&postgres.url(), &NO_LAUNCHER)?;
    // Results are of builds that have ended, all of which began.
    let mut looks = 0;
    while postgres.number("SELECT count(*) FROM results")? < f64::from(sizes.jobs) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        looks += 1;
        ensure!(looks < 1500, "{} builds did not end in five minutes", sizes.jobs);
    }
    drop(service);
    postgres.number(&format!(
        "SELECT count(*) / extract(epoch FROM max(at) - min(at)) FROM (
             SELECT at FROM build_events WHERE state = 'launching' ORDER BY at LIMIT {}
         ) starts",
        sizes.jobs
    ))
}
