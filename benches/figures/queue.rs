//! What claims cost: against the SQL limit, and against the backlog.

use std::time::{Duration, Instant};

use anyhow::Result;
use slipway::{
    domain::Outcome,
    store::{Slots, Store, StoreOptions},
};

use super::{SAME_ROW, postgres::Postgres, row, service::Service};

/// Builds that one claim takes.
const BATCH: u32 = 50;

/// Claims and finishes of a plain queue, in batches: what Postgres gives without history, leases and limits.
const SQL_LIMIT: &str = r"
WITH c AS MATERIALIZED (
    SELECT id FROM plain WHERE state = 'queued' ORDER BY id LIMIT 50 FOR UPDATE SKIP LOCKED
) UPDATE plain p SET state = 'running' FROM c WHERE p.id = c.id;
WITH c AS MATERIALIZED (
    SELECT id FROM plain WHERE state = 'running' LIMIT 50 FOR UPDATE SKIP LOCKED
), f AS (UPDATE plain p SET state = 'done' FROM c WHERE p.id = c.id RETURNING p.id)
INSERT INTO plain_events (id) SELECT id FROM f;
";

/// Measures and prints.
pub async fn measure(postgres: &Postgres) -> Result<()> {
    drain(postgres).await?;
    backlog(postgres).await
}

fn connect(postgres: &Postgres) -> Result<Store> {
    Ok(Store::connect(&StoreOptions {
        url: postgres.url().into(),
        direct_url: None,
        max_connections: 8,
        acquire_timeout: Duration::from_secs(5),
        notify: false,
    })?)
}

/// Claim and finish through the whole dispatcher, with a launcher that does nothing.
async fn drain(postgres: &Postgres) -> Result<()> {
    let store = connect(postgres)?;
    store.migrate().await?;
    postgres.sql("INSERT INTO projects (name) VALUES ('default')")?;
    postgres.sql(
        "CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'queued');
         CREATE INDEX ON plain (id) WHERE state = 'queued';
         CREATE INDEX ON plain (id) WHERE state = 'running';
         CREATE TABLE plain_events (id bigint, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO plain (state) SELECT 'queued' FROM generate_series(1, 400000)",
    )?;
    let limit = postgres.pgbench(SQL_LIMIT, 1, 4)? * f64::from(BATCH);
    fill(postgres, 20_000)?;
    let began = Instant::now();
    let service = Service::start(
        &postgres.url(),
        &[
            "--launcher=none",
            "--max-running=512",
            "--max-running-per-project=512",
        ],
    )
    .await?;
    while postgres.number("SELECT count(*) FROM builds WHERE state = 'succeeded'")? < 20_000.0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ours = 20_000.0 / began.elapsed().as_secs_f64();
    drop(service);
    row("builds claimed and finished a second", ours, limit, 0.8);
    Ok(())
}

async fn backlog(postgres: &Postgres) -> Result<()> {
    let store = connect(postgres)?;
    postgres.sql("TRUNCATE builds, specs, build_events, results, lanes, lane_counts")?;
    fill(postgres, 10_000)?;
    let small = claims(&store).await?;
    fill(postgres, 1_000_000)?;
    let large = claims(&store).await?;
    row(
        "builds claimed a second, 1 M queued against 10 k",
        large,
        small,
        0.9,
    );
    Ok(())
}

/// Builds that are claimed a second; each is brought to its end outside the measured time.
async fn claims(store: &Store) -> Result<f64> {
    let slots = Slots {
        total: 1000,
        per_project: 1000,
    };
    let lease = Duration::from_secs(60);
    let (mut spent, mut claimed) = (Duration::ZERO, 0_u32);
    for _ in 0..60 {
        let began = Instant::now();
        let batch = store.claim(slots, lease, BATCH).await?;
        spent += began.elapsed();
        for claim in batch {
            claimed += 1;
            store.launched(claim.id, claim.token, "none").await?;
            store
                .finish(claim.id, &Outcome::Succeeded { digest: None }, &[], 0)
                .await?;
        }
    }
    Ok(f64::from(claimed) / spent.as_secs_f64())
}

/// Queues so many builds.
fn fill(postgres: &Postgres, builds: u32) -> Result<()> {
    let one = SAME_ROW.replace("VALUES ((", "SELECT (").replace(
        "::uuid, 1, 0)",
        &format!("::uuid, 1, 0 FROM generate_series(1, {builds})"),
    );
    postgres.sql(&one)?;
    postgres.sql(
        "INSERT INTO lanes (project_id, priority, floor) VALUES (1, 0, now() - interval '1 hour')
         ON CONFLICT (project_id, priority) DO UPDATE SET empty_since = NULL",
    )?;
    postgres.sql("ANALYZE builds")
}
