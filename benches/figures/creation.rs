//! Creation: the whole way of a request, against Postgres alone writing the same rows.

use std::time::Duration;

use anyhow::Result;

use super::{
    load,
    postgres::Postgres,
    report::{Curve, Figure, Goal},
    rows::{REQUEST, SAME_ROW},
    run::Run,
    service::Service,
    stats::median,
};

/// Clients, and the share of pgbench's rate that is to be reached with them.
const GOALS: [(u32, f64); 4] = [(1, 0.58), (8, 0.70), (32, 1.2), (128, 1.6)];
/// pgbench commits most with so many.
const BEST: u32 = 32;

/// Measures creation with growing numbers of clients, and what wake-ups cost.
pub async fn measure(run: &mut Run) -> Result<()> {
    let postgres = Postgres::start()?;
    let service = Service::start(&postgres.url(), &["--role=api"]).await?;
    let warm = Duration::from_secs(2);
    load::rate(&service.address(), "/api/v1/builds", REQUEST, 8, warm).await?;
    let (mut ours, mut limits) = (vec![vec![]; GOALS.len()], vec![vec![]; GOALS.len()]);
    for round in 1..=run.rounds {
        for (at, (clients, _)) in GOALS.iter().enumerate() {
            run.says(&format!("round {round} of {}, {clients} clients", run.rounds));
            ours[at].push(service.rate(*clients, run.seconds).await?);
            limits[at].push(postgres.pgbench(SAME_ROW, (*clients).min(BEST), run.seconds)?);
        }
    }
    let points = |values: &[Vec<f64>]| {
        let medians = values.iter().map(|values| median(values));
        GOALS
            .iter()
            .map(|(clients, _)| f64::from(*clients))
            .zip(medians)
            .collect()
    };
    let lines = vec![
        ("POST /api/v1/builds".to_owned(), points(&ours)),
        (
            format!("pgbench, the same rows (at most {BEST} clients)"),
            points(&limits),
        ),
    ];
    for (((clients, goal), ours), limits) in GOALS.into_iter().zip(ours).zip(limits) {
        let limit = format!("pgbench, {} clients", clients.min(BEST));
        run.figure(
            Figure::new(format!("creations, {clients} clients"), "a second", ours)
                .beside(&limit, limits)
                .goal(Goal::Ratio(goal)),
        );
    }
    run.curve(Curve {
        name: "creation".to_owned(),
        title: "Creations a second".to_owned(),
        axes: ["clients".to_owned(), "a second".to_owned()],
        by_factors: true,
        lines,
    });
    drop(service);
    wake_ups(run, &postgres).await
}

/// A service that tells a dispatcher elsewhere of every creation, against one that tells nobody. That dispatcher looks
/// at the queue whenever it is told, and may launch nothing.
async fn wake_ups(run: &mut Run, postgres: &Postgres) -> Result<()> {
    postgres.sql("UPDATE projects SET max_running = 0")?;
    let telling = Service::start(&postgres.url(), &["--role=api"]).await?;
    let silent = Service::start(&postgres.url(), &["--role=api", "--database-notify=false"]).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // What is looked for is less than what one round differs from the next.
    let (rounds, seconds) = (2 * run.rounds, run.seconds.div_ceil(2));
    for round in 1..=rounds {
        run.says(&format!("round {round} of {rounds}, wake-ups"));
        let listening = Service::dispatcher(&postgres.url(), &["--launcher=none"])?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        with.push(telling.rate(32, seconds).await?);
        drop(listening);
        without.push(silent.rate(32, seconds).await?);
    }
    run.figure(
        Figure::new(
            "creations with a dispatcher that is woken, 32 clients",
            "a second",
            with,
        )
        .beside_ours("nobody told, nobody listening", without)
        .goal(Goal::Ratio(0.95)),
    );
    Ok(())
}
