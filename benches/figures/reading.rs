//! What is read of a long queue, through the service.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{
    load::Client, postgres::Postgres, report::Figure, run::Run, service::Service, stats::percentile,
};

/// Requests of each kind.
const SAMPLES: usize = 200;

/// Measures what is answered about a queue of so many builds.
pub async fn measure(run: &mut Run, postgres: &Postgres, size: &str) -> Result<()> {
    run.says(&format!("reading, {size} queued"));
    let service = Service::start(&postgres.url(), &["--role=api"]).await?;
    let mut client = Client::connect(&service.address()).await?;
    let ids = sampled(postgres)?;
    let one = |id: &String| format!("/api/v1/builds/{id}");
    ask(
        run,
        &mut client,
        &format!("one build, its position and its start, {size} queued"),
        ids.iter().map(one),
    )
    .await?;
    let lists = ["/api/v1/builds?limit=50", "/api/v1/builds?limit=50&state=queued"];
    for (list, title) in lists
        .into_iter()
        .zip(["the latest 50 builds", "50 queued builds"])
    {
        let paths = (0..SAMPLES / 2).map(|_| list.to_owned());
        ask(run, &mut client, &format!("{title}, {size} queued"), paths).await?;
    }
    let queue = (0..SAMPLES / 2).map(|_| "/api/v1/queue".to_owned());
    ask(
        run,
        &mut client,
        &format!("the whole queue's state, {size} queued"),
        queue,
    )
    .await
}

async fn ask(
    run: &mut Run,
    client: &mut Client,
    title: &str,
    paths: impl Iterator<Item = String>,
) -> Result<()> {
    let mut took = Vec::with_capacity(SAMPLES);
    for path in paths {
        let began = Instant::now();
        let answer = client.get(&path).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            answer.status == 200,
            "{path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
        let value = percentile(&took, percent);
        run.figure(Figure::new(format!("GET {title}, {name}"), "ms", vec![value]));
    }
    Ok(())
}

/// Builds from all over the queue.
fn sampled(postgres: &Postgres) -> Result<Vec<String>> {
    let few = postgres.number("SELECT reltuples FROM pg_class WHERE relname = 'builds'")? < 50_000.0;
    let share = if few { 10.0 } else { 0.1 };
    let query = format!(
        "SELECT id FROM (SELECT id FROM builds TABLESAMPLE SYSTEM ({share}) WHERE state = 'queued') sampled
         ORDER BY random() LIMIT {SAMPLES}"
    );
    Ok(postgres.ask(&query)?.lines().map(str::to_owned).collect())
}
