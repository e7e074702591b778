//! apalis as a queue of jobs that do nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage, queries::push_tasks};
use serde::{Deserialize, Serialize};
use sqlx::{Executor, postgres::PgPoolOptions};
use tokio::{
    sync::{mpsc::UnboundedSender, oneshot},
    task::JoinHandle,
};

const QUEUE: &str = "noop";
/// Jobs that a worker takes at once.
const BATCH: usize = 500;
/// Ends that are not recorded yet, and jobs of which no notification came, wait so long: briefly where a rate is
/// measured, and where a wait is, so long that only notifications tell of jobs.
const INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// No worker has the name of an earlier one.
static WORKERS: AtomicU32 = AtomicU32::new(0);

/// A job that does nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noop {}

/// The queue.
#[derive(Clone)]
pub struct Queue {
    pool: PgPool,
    storage: PostgresStorage<Noop>,
}

/// A worker that runs.
pub struct Working {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl Queue {
    /// Makes the tables.
    pub async fn prepare(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(40)
            .test_before_acquire(false)
            .connect(url)
            .await?;
        PostgresStorage::setup(&pool).await?;
        // Ends are always recorded; the lock is one of its own, beside that of the fetch.
        let config = Config::default().queue(QUEUE).batch_size(BATCH).lock_tasks(false);
        let storage = PostgresStorage::new(&pool).with_config(config);
        Ok(Self { pool, storage })
    }

    /// Adds one job.
    pub async fn add(&mut self) -> Result<()> {
        self.storage
            .push(Noop {})
            .await
            .map_err(|error| anyhow!("{error:?}"))
    }

    /// Adds some in one statement.
    pub async fn add_many(&self, count: u32) -> Result<()> {
        let tasks = (0..count)
            .map(|_| Ok(TaskBuilder::new(serde_json::to_vec(&Noop {})?).build()))
            .collect::<Result<Vec<_>>>()?;
        let mut connection = self.pool.acquire().await?;
        Ok(push_tasks(&mut *connection, QUEUE, tasks).await?)
    }

    /// Starts a worker that notes each job's start; `fast`: many are expected.
    pub fn work(&self, fast: bool, started: UnboundedSender<std::time::Instant>) -> Working {
        let (stop, stopped) = oneshot::channel::<()>();
        let backend = self
            .storage
            .clone()
            .with_pubsub()
            .poll_with_interval(INTERVALS[usize::from(!fast)]);
        let name = format!("worker-{}", WORKERS.fetch_add(1, Ordering::Relaxed));
        let worker = WorkerBuilder::new(name.as_str())
            .backend(backend)
            .data(Arc::new(started))
            .parallelize(tokio::spawn)
            .build(run);
        let worker = tokio::spawn(worker.run_until(async {
            // Its other end goes only after it was used, or with the program.
            let _ = stopped.await;
            Ok::<(), WorkerError>(())
        }));
        Working { stop, worker }
    }

    /// How many jobs are not at their committed end.
    pub async fn unfinished(&self) -> Result<i64> {
        let query = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'");
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// Lets the planner know what there is.
    pub async fn analyze(&self) -> Result<()> {
        self.pool.execute("ANALYZE apalis.jobs").await?;
        Ok(())
    }
}

impl Working {
    /// Lets it end what it has begun.
    pub async fn stop(self) -> Result<()> {
        self.stop.send(()).ok().context("the worker ended by itself")?;
        self.worker.await?.map_err(|error| anyhow!("{error}"))
    }
}

async fn run(_: Noop, started: Data<Arc<UnboundedSender<std::time::Instant>>>) {
    // Nobody listens any more once enough have started.
    let _ = started.send(std::time::Instant::now());
}
