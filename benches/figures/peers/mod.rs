//! Other queues on Postgres beside ours: the same server, a database each, the same number of jobs that do nothing.

mod ours;
mod program;

use std::collections::BTreeMap;

use anyhow::Result;

use self::program::Program;
use super::{
    postgres::Postgres,
    report::{Curve, Figure},
    run::Run,
    stats::{cumulated, percentile},
};

/// Values by what was measured.
pub type Measured = BTreeMap<String, Vec<f64>>;

/// How much of everything.
pub struct Sizes {
    /// For so many seconds clients add jobs one by one.
    pub seconds: u32,
    /// Jobs that are queued, then worked off.
    pub jobs: u32,
    /// Jobs that wait while so many of them are worked off; none where it is not measured.
    pub backlog: u32,
    /// Jobs that are followed one after the other.
    pub samples: u32,
}

/// A rate by its key, and what it is a rate of.
const RATES: [(&str, &str); 4] = [
    ("enqueue", "added, one each by 32 clients"),
    ("enqueue_batches", "added, theirs 100 a call"),
    ("drain", "from start to end, 20 k queued"),
    ("backlog", "started"),
];

/// Measures.
pub async fn measure(run: &mut Run) -> Result<()> {
    let mut programs = Vec::new();
    for program in Program::all() {
        run.says(&format!("installing {}", program.name));
        match program.install() {
            Ok(()) => programs.push(program),
            Err(error) => run.not_run(format!(
                "{}, which could not be installed: {error:#}",
                program.name
            )),
        }
    }
    let backlog = if run.quick { 200_000 } else { 1_000_000 };
    let rounds = if run.quick { 1 } else { 3 };
    let postgres = Postgres::start()?;
    let mut us = Measured::new();
    let mut them: Vec<(Program, Measured)> = programs.into_iter().map(|one| (one, Measured::new())).collect();
    for round in 1..=rounds {
        let sizes = Sizes {
            seconds: run.seconds,
            jobs: 20_000,
            backlog: if round == rounds { backlog } else { 0 },
            samples: if run.quick { 150 } else { 300 },
        };
        run.says(&format!("round {round} of {rounds}, ours"));
        collect(&mut us, ours::measure(&postgres, &sizes).await?);
        let mut going = Vec::new();
        for (mut program, mut measured) in them {
            run.says(&format!("round {round} of {rounds}, {}", program.name));
            match program.run(&postgres, &sizes) {
                Ok(values) => {
                    collect(&mut measured, values);
                    going.push((program, measured));
                }
                Err(error) => run.not_run(format!("{}, which failed: {error:#}", program.name)),
            }
        }
        them = going;
    }
    for (program, measured) in &them {
        compare(run, &us, &program.title(), measured, backlog);
    }
    distributions(run, &us, &them);
    Ok(())
}

/// Joins what a round measured to what those before it did. Of waits, each round gives its middle and its end.
fn collect(all: &mut Measured, round: Measured) {
    for (key, values) in round {
        if key == "latency" {
            for (key, percent) in [("p50", 50.0), ("p99", 99.0)] {
                all.entry(key.to_owned())
                    .or_default()
                    .push(percentile(&values, percent));
            }
        }
        all.entry(key).or_default().extend(values);
    }
}

/// Ours beside a peer's.
fn compare(run: &mut Run, us: &Measured, peer: &str, them: &Measured, backlog: u32) {
    let of = |measured: &Measured, key: &str| measured.get(key).cloned().unwrap_or_default();
    for (key, what) in RATES {
        let what = if key == "backlog" {
            format!("{what}, {} k queued", backlog / 1000)
        } else {
            what.to_owned()
        };
        run.figure(
            Figure::new(format!("{peer}: jobs {what}"), "a second", of(us, key)).beside(peer, of(them, key)),
        );
    }
    for key in ["p50", "p99"] {
        let what = format!("{peer}: from the answer to a start, idle, {key}");
        run.figure(Figure::new(what, "ms", of(us, key)).beside(peer, of(them, key)));
    }
}

fn distributions(run: &mut Run, us: &Measured, them: &[(Program, Measured)]) {
    let named = them.iter().map(|(program, measured)| (program.title(), measured));
    let lines = std::iter::once(("ours".to_owned(), us))
        .chain(named)
        .filter_map(|(name, measured)| Some((name, cumulated(measured.get("latency")?))));
    run.curve(Curve {
        name: "peers".to_owned(),
        title: "How many jobs start within a time, idle".to_owned(),
        axes: ["milliseconds".to_owned(), "percent".to_owned()],
        by_factors: true,
        lines: lines.collect(),
    });
}
