//! The figures of the main job, each beside its limit in the same run: `cargo bench --bench figures`.
//!
//! Needs Debian's `postgresql` package. Starts a Postgres of its own with durable settings, and the service as a
//! process of its own where a figure is about the service; everything stays on loopback and ends with the program.

mod deliveries;
mod latency;
mod load;
mod logs;
mod postgres;
mod queue;
mod service;
mod stats;

use std::time::Duration;

use anyhow::Result;

use self::{postgres::Postgres, service::Service, stats::median};

/// How often each pair is measured, one after the other.
const ROUNDS: usize = 3;
/// How long one measurement of a rate takes, in seconds.
const SECONDS: u32 = 4;

/// What a client asks for.
const REQUEST: &str = r#"{"source":{"git":{"url":"https://git.example.com/team/app.git","ref":"refs/heads/main"}},"destinations":["registry.example.com/team/app"]}"#;

/// The same rows as a creation makes, in one statement, with keys that grow as ours do.
const SAME_ROW: &str = r#"
WITH b AS (
    INSERT INTO builds (id, project_id, priority) VALUES ((
        lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid, 1, 0)
    RETURNING id
), c AS (
    INSERT INTO lane_counts (project_id, priority, queued) VALUES (1, 0, 1)
), s AS (
    INSERT INTO specs (build_id, project_id, repository, git_ref, spec)
    SELECT id, 1, 'registry.example.com/team/app', 'refs/heads/main', '{"project": "default","source": {"git": {"url": "https://git.example.com/team/app.git","ref": "refs/heads/main"}},"dockerfile": "Dockerfile","destinations": ["registry.example.com/team/app"],"cache": {"enabled": false},"priority": 0,"timeout_seconds": 3600,"max_retries": 3,"resources": {},"annotations": {}}'::jsonb FROM b
)
INSERT INTO build_events (build_id, project_id, state, cause) SELECT id, 1, 'queued', 'request' FROM b;
"#;

fn main() -> Result<()> {
    // `cargo test --benches` runs this program too, with `--test`: there is nothing to measure then.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let only = std::env::args()
        .nth(1)
        .filter(|arg| !arg.starts_with("--"))
        .unwrap_or_default();
    println!(
        "{:<46} {:>12} {:>12} {:>7} {:>6}",
        "figure", "ours", "limit", "ratio", "goal"
    );
    if only.is_empty() || only == "creation" {
        creation().await?;
    }
    if only.is_empty() || only == "deliveries" {
        deliveries::measure(&Postgres::start()?).await?;
    }
    if only.is_empty() || only == "memory" {
        memory().await?;
    }
    if only.is_empty() || only == "queue" {
        queue::measure(&Postgres::start()?).await?;
    }
    if only.is_empty() || only == "latency" {
        latency::measure(&Postgres::start()?).await?;
    }
    if only.is_empty() || only == "logs" {
        logs::measure(&Postgres::start()?).await?;
    }
    Ok(())
}

async fn creation() -> Result<()> {
    let postgres = Postgres::start()?;
    let service = Service::start(&postgres.url(), &["--role=api"]).await?;
    load::rate(
        &service.address(),
        "/api/v1/builds",
        REQUEST,
        8,
        Duration::from_secs(2),
    )
    .await?;
    let mut at_32 = f64::NAN;
    for (clients, goal) in [(1, 0.58), (8, 0.70), (32, 1.2), (128, 1.6)] {
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(service.rate(clients, SECONDS).await?);
            // With 128 clients the limit is what pgbench reaches with 32.
            limits.push(if clients > 32 {
                at_32
            } else {
                postgres.pgbench(SAME_ROW, clients, SECONDS)?
            });
        }
        if clients == 32 {
            at_32 = median(&limits);
        }
        row(
            &format!("POST /builds a second, {clients} clients"),
            median(&ours),
            median(&limits),
            goal,
        );
    }
    Ok(())
}

async fn memory() -> Result<()> {
    let postgres = Postgres::start()?;
    let service = Service::start(&postgres.url(), &["--launcher=none"]).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "{:<46} {:>12.1} {:>12} {:>7} {:>6}",
        "resident MB, idle",
        service.resident_mb()?,
        "",
        "",
        20
    );
    service.rate(128, SECONDS).await?;
    println!(
        "{:<46} {:>12.1} {:>12} {:>7} {:>6}",
        "resident MB, after 128 connections",
        service.resident_mb()?,
        "",
        "",
        48
    );
    Ok(())
}

/// Prints one figure beside its limit.
fn row(figure: &str, ours: f64, limit: f64, goal: f64) {
    let ratio = ours / limit;
    let mark = if ratio >= goal { "" } else { "  below the goal" };
    println!("{figure:<46} {ours:>12.1} {limit:>12.1} {ratio:>7.2} {goal:>6.2}{mark}");
}
