//! Descriptions of the retention metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Names and describes every metric of retention.
pub(super) fn describe() {
    describe_counter!(
        "slipway_retention_removed_total",
        "What was removed after its time, by kind"
    );
    describe_counter!(
        "slipway_logs_archived_total",
        "Logs that were moved to the archive"
    );
    describe_gauge!(
        "slipway_retention_last_success_timestamp_seconds",
        Unit::Seconds,
        "When this process last swept without an error"
    );
    describe_histogram!("slipway_retention_sweep_seconds", Unit::Seconds, "Sweeps");
}
