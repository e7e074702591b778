//! The figures of performance, each beside its limit in the same run: `make bench`, and docs/performance says what each
//! of them is.
//!
//! Needs Debian's `postgresql` package. Starts Postgres servers of its own with durable settings, and the service as a
//! process of its own where a figure is about the service; everything stays on loopback and ends with the program.

mod backlog;
mod cluster;
mod creation;
mod deliveries;
mod holding;
mod inside;
mod latency;
mod load;
mod logs;
mod machine;
mod memory;
mod peers;
mod postgres;
mod queue;
mod reading;
mod report;
mod rows;
mod run;
mod service;
mod stats;

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use self::{postgres::Postgres, report::Report, run::Run};

/// The groups of figures, in the order in which they are measured.
const GROUPS: [&str; 9] = [
    "creation",
    "queue",
    "latency",
    "deliveries",
    "logs",
    "memory",
    "backlog",
    "cluster",
    "peers",
];

const HELP: &str = "cargo bench --bench figures -- [GROUP…]

Measures all groups of figures, or those that are named; the page docs/performance explains them.
The environment:
  QUICK=1      smaller sizes and fewer rounds: under 5 minutes; what comes of it is left in target/bench
  FLOOR=0.5    fail when a ratio falls below that share of its goal (in the development profile, a ratio to
               another program: below half that share)
  KEEP=1       keep the figures of the named groups in docs/performance, beside those of the others
  PEERS=1      other queues beside ours, too: the group peers
  MINUTES=60   of steady work, for the figure of memory over time";

fn main() -> Result<()> {
    // `cargo test --benches` runs this program too, with `--test`: there is nothing to measure then.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    if std::env::args().any(|arg| arg == "--help" || arg == "-h") {
        println!("{HELP}\nGroups: {}", GROUPS.join(", "));
        return Ok(());
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(holding::ARGUMENT) {
        return runtime.block_on(holding::hold(args));
    }
    runtime.block_on(async {
        // What was started is stopped when it is dropped.
        tokio::select! {
            ended = measure() => ended,
            interrupted = interrupted() => {
                interrupted?;
                bail!("interrupted; nothing was written")
            }
        }
    })
}

/// Waits until somebody wants this to end.
async fn interrupted() -> Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = told.recv() => {}
    }
    Ok(())
}

async fn measure() -> Result<()> {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .flat_map(|arg| arg.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for name in &named {
        ensure!(
            GROUPS.contains(&name.as_str()),
            "no group is named {name}\n\n{HELP}"
        );
    }
    let quick = is_set("QUICK");
    let mut report = Report(BTreeMap::new());
    let mut failed = Vec::new();
    for name in GROUPS {
        if !is_asked_for(name, &named) {
            continue;
        }
        let mut run = Run::begin(name, quick);
        // What the others come to is not lost for it.
        if let Err(error) = one(name, !named.is_empty(), &mut run).await {
            run.not_run(format!("the rest of {name}: {error:#}"));
            failed.push(name);
        }
        report.0.insert(name.to_owned(), run.end()?);
    }
    report.print();
    // Half a group must not take the place of a whole one that is kept.
    let whole = failed.is_empty() && !quick && (named.is_empty() || is_set("KEEP"));
    let floor: Option<f64> = std::env::var("FLOOR")
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse())
        .transpose()?;
    let low: Vec<String> = floor.map_or_else(Vec::new, |floor| {
        let low = report.below(floor).into_iter();
        low.map(|figure| figure.title.clone()).collect()
    });
    println!("written to {}", report.save(whole)?.display());
    ensure!(
        failed.is_empty(),
        "not measured to the end: {}",
        failed.join(", ")
    );
    if !low.is_empty() {
        bail!("too far below their goals: {}", low.join("; "));
    }
    Ok(())
}

async fn one(name: &str, is_named: bool, run: &mut Run) -> Result<()> {
    match name {
        "creation" => creation::measure(run).await,
        "queue" => queue::measure(run).await,
        "latency" => latency::measure(run, &Postgres::start()?).await,
        "deliveries" => deliveries::measure(run, &Postgres::start()?).await,
        "logs" => logs::measure(run, &Postgres::start()?).await,
        "memory" => memory::measure(run).await,
        "backlog" => backlog::measure(run).await,
        "cluster" => cluster::measure(run, is_named).await,
        "peers" => peers::measure(run).await,
        other => bail!("no group is named {other}"),
    }
}

/// Whether a group is among those that are named; all are where none is, but for the peers, which the registries of
/// their packages must answer for.
fn is_asked_for(name: &str, named: &[String]) -> bool {
    let among = named.iter().any(|one| one == name);
    among || (named.is_empty() && name != "peers") || (name == "peers" && is_set("PEERS"))
}

/// Whether a variable of the environment is set to something.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}
