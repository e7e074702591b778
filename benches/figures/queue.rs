//! From the queue to the end: the dispatcher with a launcher that does nothing, against SQL alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{Connection, PgConnection};

use super::{
    postgres::Postgres,
    report::{Figure, Goal},
    rows::{clear, fill},
    run::Run,
    service::Service,
};

/// Builds that are taken from the queue to their end in one round.
const BUILDS: u32 = 40_000;
/// Builds in one of the limit's statements.
const BATCH: u32 = 50;

/// A queue that is not drained by then never will be.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a dispatcher must write, in the same tables with the same history, 50 builds a statement: claimed, launched,
/// ended. No lease is looked after, no slot counted, nothing sent to and read by a process.
const SQL_LIMIT: &str = r"
WITH c AS MATERIALIZED (
    SELECT id FROM builds WHERE state = 'queued' AND project_id = 1 AND priority = 0
    ORDER BY run_at, id LIMIT 50 FOR UPDATE SKIP LOCKED
), u AS (
    UPDATE builds b SET state = 'launching', claim_token = gen_random_uuid(), lease_until = now() + interval '60 s',
        launches = b.launches + 1, version = b.version + 1
    FROM c WHERE b.id = c.id RETURNING b.id
), n AS (
    INSERT INTO lane_counts (project_id, priority, queued) SELECT 1, 0, -count(*) FROM u
)
INSERT INTO build_events (build_id, project_id, state, cause) SELECT id, 1, 'launching', 'claim' FROM u;
WITH c AS MATERIALIZED (
    SELECT id FROM builds
    WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END AND state = 'launching'
    LIMIT 50 FOR UPDATE SKIP LOCKED
), u AS (
    UPDATE builds b SET state = 'running', phase = 'pending', waiting_since = now(), external_id = b.id,
        lease_until = NULL, claim_token = NULL, version = b.version + 1
    FROM c WHERE b.id = c.id RETURNING b.id
)
INSERT INTO build_events (build_id, project_id, state, cause) SELECT id, 1, 'running', 'launch' FROM u;
WITH c AS MATERIALIZED (
    SELECT id FROM builds
    WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END AND state = 'running'
    LIMIT 50 FOR UPDATE SKIP LOCKED
), u AS (
    UPDATE builds b SET state = 'succeeded', finished_at = now(), started_at = now(), phase = NULL,
        waiting_since = NULL, version = b.version + 1
    FROM c WHERE b.id = c.id RETURNING b.id
), r AS (
    INSERT INTO results (build_id, project_id, repository, held_seconds)
    SELECT id, 1, 'registry.example.com/team/app', 0 FROM u
)
INSERT INTO build_events (build_id, project_id, state, cause) SELECT id, 1, 'succeeded', 'observation' FROM u;
";

/// Builds claimed, launched and ended a second.
const RATE: &str = "SELECT count(*) FILTER (WHERE state = 'succeeded')
    / extract(epoch FROM max(at) FILTER (WHERE state = 'succeeded') - min(at) FILTER (WHERE state = 'launching'))
    FROM build_events";

/// A dispatcher that launches nothing.
pub const NO_LAUNCHER: [&str; 3] = [
    "--launcher=none",
    "--max-running=512",
    "--max-running-per-project=512",
];

/// Measures.
pub async fn measure(run: &mut Run) -> Result<()> {
    let postgres = Postgres::start()?;
    // It makes the tables.
    drop(Service::start(&postgres.url(), &["--role=api"]).await?);
    let builds = if run.quick { BUILDS / 2 } else { BUILDS };
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for round in 1..=run.rounds {
        run.says(&format!("round {round} of {}, the dispatcher", run.rounds));
        ours.push(drained(&postgres, builds).await?);
        run.says(&format!("round {round} of {}, SQL alone", run.rounds));
        limits.push(limit(&postgres, run.seconds)?);
    }
    run.figure(
        Figure::new("builds claimed, launched by nothing, and ended", "a second", ours)
            .beside("SQL in batches of 50, the best of 1 and 2 clients", limits)
            .goal(Goal::Ratio(0.8)),
    );
    Ok(())
}

/// Through the service.
pub async fn drained(postgres: &Postgres, builds: u32) -> Result<f64> {
    clear(postgres)?;
    fill(postgres, builds, 1)?;
    postgres.sql("VACUUM ANALYZE builds; CHECKPOINT")?;
    let service = Service::dispatcher(&postgres.url(), &NO_LAUNCHER)?;
    // A sum of nothing is null: rows that come to 0 are put together and removed.
    let left = "SELECT coalesce(sum(queued), 0)::bigint + (SELECT count(*) FROM held_slots) FROM lane_counts";
    // Over one connection: a new process and a new session each time would take a tenth of the processors.
    let mut db = PgConnection::connect(&postgres.url()).await?;
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>(left).fetch_one(&mut db).await? > 0 {
        ensure!(
            began.elapsed() < PATIENCE,
            "the queue is not drained after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(service);
    let ended = postgres.number("SELECT count(*) FROM results")?;
    ensure!(
        (ended - f64::from(builds)).abs() < 0.5,
        "{ended} of {builds} builds ended"
    );
    postgres.number(RATE)
}

/// By pgbench.
fn limit(postgres: &Postgres, seconds: u32) -> Result<f64> {
    let mut best = 0.0_f64;
    for clients in [1, 2] {
        clear(postgres)?;
        fill(postgres, 40_000 * seconds, 1)?;
        postgres.sql("VACUUM ANALYZE builds; CHECKPOINT")?;
        let rate = postgres.pgbench(SQL_LIMIT, clients, seconds)? * f64::from(BATCH);
        ensure!(
            postgres.number("SELECT count(*) FROM builds WHERE state = 'queued'")? > 0.0,
            "the queue ran dry"
        );
        best = best.max(rate);
    }
    Ok(best)
}
