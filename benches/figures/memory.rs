//! Memory of the service's process.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{
    holding::Holding,
    load::Client,
    postgres::Postgres,
    report::{Curve, Figure, Goal},
    rows::REQUEST,
    run::Run,
    service::Service,
};

/// Builds that run at once.
const RUNNING: u32 = 2000;
/// Builds that do not run by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is begun has ended by then.
const SETTLED: Duration = Duration::from_secs(3);
/// Requests a second of steady work.
const PACE: u32 = 50;

/// Measures: idle, with many connections, over time.
pub async fn measure(run: &mut Run) -> Result<()> {
    let postgres = Postgres::start()?;
    let service = Service::start(&postgres.url(), &["--launcher=none"]).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = service.resident_mb()?;
    run.figure(Figure::new("memory, idle", "MB", vec![idle]).goal(Goal::Most(20.0)));
    run.says("128 connections");
    service.rate(128, run.seconds).await?;
    let busy = service.resident_mb()?;
    run.figure(Figure::new("memory, after 128 busy connections", "MB", vec![busy]).goal(Goal::Most(48.0)));
    drop(service);
    holding(run).await?;
    steady(run, &postgres).await
}

/// A service with many running builds, each of which is followed for its log; beside the same with none.
async fn holding(run: &mut Run) -> Result<()> {
    let postgres = Postgres::start()?;
    let holding = Holding::start(&postgres.url(), RUNNING)?;
    tokio::time::sleep(SETTLED).await;
    let none = holding.resident_mb()?;
    run.says(&format!("{RUNNING} running builds"));
    let mut client = Client::connect(&holding.address).await?;
    for _ in 0..RUNNING {
        let answer = client.post("/api/v1/builds", REQUEST).await?;
        ensure!(answer.status == 201, "{}", answer.status);
    }
    let began = Instant::now();
    while postgres.number("SELECT count(*) FROM builds WHERE state = 'running'")? < f64::from(RUNNING) {
        ensure!(
            began.elapsed() < PATIENCE,
            "not all builds run after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(SETTLED).await;
    let title =
        format!("memory, {RUNNING} running builds (API and dispatcher, in a process of this program)");
    run.figure(
        Figure::new(title, "MB", vec![holding.resident_mb()?]).beside("the same process, none", vec![none]),
    );
    Ok(())
}

/// Memory of a service that has just come up over this database, and launches nothing.
pub async fn at_rest(run: &mut Run, postgres: &Postgres, what: &str) -> Result<()> {
    postgres.sql("UPDATE projects SET max_running = 0")?;
    let service = Service::start(&postgres.url(), &["--launcher=none"]).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resident = service.resident_mb()?;
    run.figure(Figure::new(format!("memory, {what}"), "MB", vec![resident]).goal(Goal::Most(20.0)));
    drop(service);
    postgres.sql("UPDATE projects SET max_running = NULL")
}

/// Steady work, whose memory is to stay what it is.
async fn steady(run: &mut Run, postgres: &Postgres) -> Result<()> {
    let minutes = std::env::var("MINUTES").ok().and_then(|text| text.parse().ok());
    let minutes = minutes.unwrap_or(if run.quick { 0.2 } else { 2.0 });
    let service = Service::start(&postgres.url(), &["--launcher=none"]).await?;
    let mut client = Client::connect(&service.address()).await?;
    let (began, mut points) = (Instant::now(), Vec::new());
    let mut pace = tokio::time::interval(Duration::from_secs(1) / PACE);
    for n in 0_u32.. {
        pace.tick().await;
        client.post("/api/v1/builds", REQUEST).await?;
        if n % (PACE * 5) == 0 {
            points.push((began.elapsed().as_secs_f64() / 60.0, service.resident_mb()?));
        }
        if n % (PACE * 60) == 0 {
            run.says(&format!(
                "{:.0} of {minutes} minutes of steady work",
                began.elapsed().as_secs_f64() / 60.0
            ));
        }
        if began.elapsed().as_secs_f64() > minutes * 60.0 {
            break;
        }
    }
    // What is needed once is there by then.
    let settled = &points[points.len() / 3..];
    let title =
        format!("memory, growth over the last two thirds of {minutes} minutes of {PACE} builds a second");
    run.figure(Figure::new(title, "MB an hour", vec![slope(settled) * 60.0]));
    run.curve(Curve {
        name: "memory".to_owned(),
        title: format!("Memory of the service at {PACE} builds a second"),
        axes: ["minutes".to_owned(), "MB".to_owned()],
        by_factors: false,
        lines: vec![("resident".to_owned(), points)],
    });
    Ok(())
}

/// The slope of the line that is nearest to these points by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let many = f64::from(u32::try_from(points.len()).unwrap_or(u32::MAX));
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / many;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    both / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}
