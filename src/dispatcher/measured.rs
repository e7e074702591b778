//! Descriptions of the dispatcher's metrics. The metrics are counted where the events happen.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Names and describes every metric of the dispatcher.
pub(super) fn describe() {
    describe_counter!("slipway_claims_total", "Builds claimed by this process");
    describe_counter!("slipway_launches_total", "Launches, by what came of them");
    describe_histogram!(
        "slipway_launch_seconds",
        Unit::Seconds,
        "From the claim to the answer of the launcher's other side"
    );
    describe_counter!("slipway_sightings_total", "Looks at builds, by what was seen");
    describe_counter!(
        "slipway_builds_finished_total",
        "Ends recorded by this process, by state and reason"
    );
    describe_counter!(
        "slipway_relaunches_total",
        "Jobs that vanished and were made again"
    );
    describe_counter!("slipway_removals_total", "Removals of Jobs that were asked for");
    describe_counter!(
        "slipway_log_bytes_total",
        Unit::Bytes,
        "Bytes of logs that were stored"
    );
    describe_gauge!("slipway_observer", "1 while this process is the observer");
}
