//! Sets up the logs and metrics of the process.

use std::{io::IsTerminal, time::Duration};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
    /// Text for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Writes log lines that pass `filter` (in the syntax of `RUST_LOG`) to standard error.
///
/// # Errors
/// A sentence, if the filter cannot be parsed.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?}: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr);
        registry.with(lines).init();
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(terminal)
            .with_target(false)
            .with_writer(std::io::stderr);
        registry.with(lines).init();
    }
    Ok(())
}

/// Buckets of histograms in seconds: from a millisecond, for requests and queries, to a day, for builds.
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 1_800.0, 7_200.0,
    86_400.0,
];

/// Interval at which the values of histograms are summed up.
const SUM_UP: Duration = Duration::from_secs(5);

/// Sums up the values of histograms at intervals, without end. Otherwise each value would be stored until the
/// metrics are read, which may never happen.
pub async fn sum_up(metrics: PrometheusHandle) {
    at_intervals(|| metrics.run_upkeep()).await;
}

async fn at_intervals(act: impl Fn()) {
    let mut interval = tokio::time::interval(SUM_UP);
    loop {
        interval.tick().await;
        act();
    }
}

/// Starts to collect the metrics of this process; the handle renders them for Prometheus. [`sum_up`] must run
/// too.
///
/// # Errors
/// When a recorder is installed already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(
            metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned()),
            &SECONDS,
        )?
        .install_recorder()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_are_summed_up_though_nobody_reads_them() {
        let times = AtomicU32::new(0);
        let minute = Duration::from_secs(60);
        let counted = at_intervals(|| {
            times.fetch_add(1, Ordering::Relaxed);
        });
        let over = tokio::time::timeout(minute, counted).await;
        assert!(over.is_err(), "it goes on");
        assert!(times.into_inner() >= 12);
    }
}
