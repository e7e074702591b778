//! What claims cost against what is queued, what was claimed before, and what is kept.
//!
//! The limit of each is a short queue on a server of its own, which is claimed from in turns with the long one.

mod queue;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    memory, reading,
    report::{Curve, Figure, Goal},
    run::Run,
    stats::median,
};

use self::queue::{BATCH, Queue};

/// The short queue.
const SHORT: u32 = 10_000;
/// Projects, where there are many.
const PROJECTS: u32 = 10_000;
/// How long a transaction is held open.
const HELD: Duration = Duration::from_secs(60);

/// Measures.
pub async fn measure(run: &mut Run) -> Result<()> {
    let sizes: &[(u32, &str, f64)] = if run.quick {
        run.not_run(
            "claims from 1 M and 10 M builds, the dispatcher with a backlog, old snapshots, histories, many claims \
             before (QUICK)",
        );
        &[(200_000, "200 k", 0.9)]
    } else {
        &[(1_000_000, "1 M", 0.9), (10_000_000, "10 M", 0.85)]
    };
    let (mut short, mut long) = (Queue::start().await?, Queue::start().await?);
    short.grow(run, SHORT)?;
    reading::measure(run, &short.postgres, "10 k").await?;
    let mut points = Vec::new();
    for (size, name, goal) in sizes {
        long.grow(run, *size)?;
        let what = format!("{name} queued");
        let rates = long.beside(&mut short, run, (&what, often(run))).await?;
        points.push((f64::from(*size), rates.clone()));
        claims(run, &what, rates, Goal::Ratio(*goal));
    }
    drawn(run, &points);
    let (_, largest, _) = sizes[sizes.len() - 1];
    reading::measure(run, &long.postgres, largest).await?;
    if !run.quick {
        drain(run, &mut short, &mut long, largest).await?;
        memory::at_rest(run, &long.postgres, "10 M queued").await?;
        after_many(run, &mut short, &mut long).await?;
        under_a_snapshot(run, &mut long).await?;
        with_history(run, &mut short, &mut long).await?;
    }
    in_projects(run, &mut short, &mut long).await
}

/// Rounds where there is a goal: one of them takes less than a second, in which the machine has its moods.
const fn often(run: &Run) -> usize {
    2 * run.rounds
}

/// Rates of the long queue, and of the short one in turns with it.
type Rates = (Vec<f64>, Vec<f64>);

/// A figure of claims beside the short queue.
fn claims(run: &mut Run, what: &str, (ours, limit): Rates, goal: Goal) {
    let figure = Figure::new(format!("claims, {what}"), "a second", ours);
    run.figure(figure.beside_ours("10 k queued", limit).goal(goal));
}

fn drawn(run: &mut Run, measured: &[(f64, Rates)]) {
    let short = measured.iter().flat_map(|(_, (_, limit))| limit);
    let short: Vec<f64> = short.copied().collect();
    let mut points = vec![(f64::from(SHORT), median(&short))];
    points.extend(measured.iter().map(|(size, (ours, _))| (*size, median(ours))));
    run.curve(Curve {
        name: "backlog".to_owned(),
        title: "Claims a second, by what is queued".to_owned(),
        axes: ["queued".to_owned(), "a second".to_owned()],
        by_factors: true,
        lines: vec![(format!("batches of {BATCH}"), points)],
    });
}

/// Through the whole dispatcher, for a few seconds.
async fn drain(run: &mut Run, short: &mut Queue, long: &mut Queue, name: &str) -> Result<()> {
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for round in 1..=run.rounds {
        run.says(&format!(
            "round {round} of {}, the dispatcher, {name} queued",
            run.rounds
        ));
        ours.push(long.drain(SHORT / 2).await?);
        limits.push(short.drain(SHORT / 2).await?);
    }
    let title = format!("builds claimed, launched by nothing, and ended, {name} queued");
    run.figure(Figure::new(title, "a second", ours).beside("10 k queued", limits));
    Ok(())
}

/// After 200,000 claims, whose dead index entries lie at the head of the queue.
async fn after_many(run: &mut Run, short: &mut Queue, long: &mut Queue) -> Result<()> {
    run.says("200,000 claims");
    long.claim_some(200_000 / BATCH).await?;
    let rates = long
        .beside(short, run, ("after 200 k of them", often(run)))
        .await?;
    claims(run, "10 M queued, after 200 k claims", rates, Goal::Ratio(0.8));
    Ok(())
}

/// While a transaction sees the database as it was, so that nothing that died since can be removed.
async fn under_a_snapshot(run: &mut Run, queue: &mut Queue) -> Result<()> {
    let held = queue.postgres.snapshot(HELD + Duration::from_secs(20))?;
    let began = Instant::now();
    let mut points = Vec::new();
    while began.elapsed() < HELD {
        let (claimed, spent) = queue.claim_some(40).await?;
        let at = began.elapsed().as_secs_f64();
        points.push((at, f64::from(claimed) / spent.as_secs_f64()));
        run.says(&format!("under a snapshot, {at:.0} s"));
    }
    drop(held);
    let rates = |points: &[(f64, f64)]| points.iter().map(|point| point.1).collect::<Vec<_>>();
    let few = points.len().div_ceil(6);
    let (first, last) = (rates(&points[..few]), rates(&points[points.len() - few..]));
    run.figure(
        Figure::new("claims, 10 M queued, under a snapshot of 60 s", "a second", last)
            .beside_ours("its beginning", first)
            .goal(Goal::Ratio(0.5)),
    );
    run.curve(Curve {
        name: "snapshot".to_owned(),
        title: "Claims a second while a transaction is held open".to_owned(),
        axes: ["seconds".to_owned(), "a second".to_owned()],
        by_factors: false,
        lines: vec![(format!("10 M queued, batches of {BATCH}"), points)],
    });
    Ok(())
}

/// As many queued as in the short queue, and a million that have ended.
async fn with_history(run: &mut Run, short: &mut Queue, long: &mut Queue) -> Result<()> {
    run.says("a history of 1 M");
    long.refill(run, 1_000_000, 1)?;
    long.becomes_history()?;
    long.grow(run, SHORT)?;
    let rates = long.beside(short, run, ("a history of 1 M", run.rounds)).await?;
    claims(run, "10 k queued, a history of 1 M", rates, Goal::None);
    Ok(())
}

/// In many projects, with the same numbers queued.
async fn in_projects(run: &mut Run, short: &mut Queue, long: &mut Queue) -> Result<()> {
    let sizes: &[(u32, &str)] = if run.quick {
        &[(200_000, "200 k")]
    } else {
        &[(10_000, "10 k"), (1_000_000, "1 M"), (10_000_000, "10 M")]
    };
    long.refill(run, sizes[0].0, PROJECTS)?;
    for (size, name) in sizes {
        let what = format!("{name} queued in 10,000 projects");
        long.grow(run, *size)?;
        let rates = long.beside(short, run, (&what, run.rounds)).await?;
        claims(run, &what, rates, Goal::None);
    }
    Ok(())
}
