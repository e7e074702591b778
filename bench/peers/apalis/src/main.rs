//! The same figures of apalis as `measure.mjs` takes of other queues; one JSON line a figure.
//!
//! slipway-bench-apalis DATABASE_URL SECONDS JOBS BACKLOG SAMPLES

mod queue;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time::{sleep, timeout},
};

use self::queue::Queue;

/// Jobs of one call, where several are added at once; the same while the backlog is made, which is not measured.
const BATCH: u32 = 100;
const BACKLOG_BATCH: u32 = 1000;
/// Calls under way at the same time: of one job each, and of a batch each.
const CLIENTS: usize = 32;
const BATCHERS: usize = 4;
/// A queue of which nothing was heard for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, numbers @ ..] = args.as_slice() else {
        bail!("DATABASE_URL SECONDS JOBS BACKLOG SAMPLES are missing")
    };
    let numbers: Vec<u32> = numbers
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let [time, jobs, backlog, samples] = numbers[..] else {
        bail!("SECONDS JOBS BACKLOG SAMPLES are four numbers")
    };
    let queue = Queue::prepare(url).await?;
    report("version", "1.0.0")?;
    let added = enqueue_ones(&queue, Duration::from_secs(time.into())).await?;
    report("enqueue", [f64::from(added) / f64::from(time)])?;
    enqueue_many(&queue, jobs.saturating_sub(added), BATCH).await?;
    let first = drain(&queue, added.max(jobs)).await?;
    report("enqueue_batches", [enqueue_many(&queue, jobs, BATCH).await?])?;
    report("drain", [first, drain(&queue, jobs).await?])?;
    report("latency", latency(queue.clone(), samples).await?)?;
    if backlog > 0 {
        enqueue_many(&queue, backlog, BACKLOG_BATCH).await?;
        report("backlog", [from_backlog(&queue, jobs).await?])?;
    }
    Ok(())
}

fn report(key: &str, values: impl Serialize) -> Result<()> {
    println!(
        "{}",
        serde_json::to_string(&serde_json::json!({ "key": key, "values": values }))?
    );
    Ok(())
}

/// Jobs that clients add within a time, each waiting for one's answer before its next.
async fn enqueue_ones(queue: &Queue, time: Duration) -> Result<u32> {
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut queue = queue.clone();
        clients.spawn(async move {
            let mut added = 0_u32;
            while Instant::now() < end {
                queue.add().await?;
                added += 1;
            }
            anyhow::Ok(added)
        });
    }
    let mut added = 0;
    while let Some(client) = clients.join_next().await {
        added += client??;
    }
    Ok(added)
}

/// Adds so many jobs in batches, and answers how many a second.
async fn enqueue_many(queue: &Queue, count: u32, batch: u32) -> Result<f64> {
    let taken = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..BATCHERS {
        let (queue, taken) = (queue.clone(), taken.clone());
        clients.spawn(async move {
            loop {
                let from = taken.fetch_add(batch, Ordering::Relaxed);
                if from >= count {
                    return anyhow::Ok(());
                }
                queue.add_many(batch.min(count - from)).await?;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Jobs a second from the first one's start until none is left.
async fn drain(queue: &Queue, count: u32) -> Result<f64> {
    queue.analyze().await?;
    let (sender, started) = unbounded_channel();
    let working = queue.work(true, sender);
    let began = first_of(started, count).await?;
    let ended = async {
        while queue.unfinished().await? > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, ended)
        .await
        .context("jobs that started never ended")??;
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    working.stop().await?;
    Ok(rate)
}

/// Jobs a second that start, of many more that wait.
async fn from_backlog(queue: &Queue, count: u32) -> Result<f64> {
    queue.analyze().await?;
    let (sender, started) = unbounded_channel();
    let working = queue.work(true, sender);
    let began = first_of(started, count).await?;
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    working.stop().await?;
    Ok(rate)
}

/// Waits until so many have started; answers when the first one did.
async fn first_of(mut started: UnboundedReceiver<Instant>, count: u32) -> Result<Instant> {
    let mut first = None;
    for seen in 0..count {
        let next = timeout(PATIENCE, started.recv()).await;
        let next = next.with_context(|| format!("{seen} of {count} jobs started, and no more"))?;
        first.get_or_insert(next.context("the worker is gone")?);
    }
    first.context("no jobs are counted")
}

/// Milliseconds from the answer to an addition until the job's start, one after the other.
async fn latency(mut queue: Queue, samples: u32) -> Result<Vec<f64>> {
    /// They find connections and statements that nobody has used yet.
    const FIRST: usize = 10;
    let (sender, mut started) = unbounded_channel();
    let working = queue.work(false, sender);
    let mut waits = Vec::new();
    for sample in 0..samples + 10 {
        queue.add().await?;
        let answered = Instant::now();
        let start = timeout(PATIENCE, started.recv())
            .await?
            .context("the worker is gone")?;
        waits.push(start.saturating_duration_since(answered).as_secs_f64() * 1000.0);
        // Apart by what no interval of a poll divides.
        sleep(Duration::from_millis(15 + u64::from(sample * 7 % 11))).await;
    }
    working.stop().await?;
    ensure!(waits.len() > FIRST, "no samples");
    Ok(waits.split_off(FIRST))
}
