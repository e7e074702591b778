//! Settings of the queue and the dispatcher.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::value;
use crate::{domain::quota::Quotas, store::Slots};

/// Settings for claiming, observing and cleaning up builds.
#[derive(Debug, Args)]
#[command(next_help_heading = "Queue")]
pub struct DispatchArgs {
    /// The number of builds that run at once, in all projects and over all replicas
    #[arg(long, env = "SLIPWAY_MAX_RUNNING", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub max_running: u32,

    /// The number of builds of one project that run at once
    #[arg(long, env = "SLIPWAY_MAX_RUNNING_PER_PROJECT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub max_running_per_project: u32,

    /// The number of builds that a project may have queued, unless it has a limit of its own; further
    /// creations are answered 429 [default: no limit]
    #[arg(long, env = "SLIPWAY_MAX_QUEUED_PER_PROJECT", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)), value_name = "N")]
    pub max_queued_per_project: Option<u32>,

    /// The number of builds that a project may create within any hour, unless it has a limit of its own;
    /// further creations are answered 429 [default: no limit]
    #[arg(long, env = "SLIPWAY_MAX_BUILDS_PER_HOUR", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)), value_name = "N")]
    pub max_builds_per_hour: Option<u32>,

    /// The longest time that a launch may take before another replica takes it over
    #[arg(long, env = "SLIPWAY_LAUNCH_LEASE", default_value = "60s", value_parser = value::duration, value_name = "DURATION")]
    pub launch_lease: Duration,

    /// The longest time that a build may wait for its container to start; after it, the build fails with the
    /// cluster's reason
    #[arg(long, env = "SLIPWAY_PENDING_DEADLINE", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub pending_deadline: Duration,

    /// The time that a finished Job is kept, for kubectl, before it is deleted
    #[arg(long, env = "SLIPWAY_JOB_GRACE", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub job_grace: Duration,

    /// The interval at which builds in the database are compared with Jobs
    #[arg(long, env = "SLIPWAY_RECONCILE_INTERVAL", default_value = "60s", value_parser = value::duration, value_name = "DURATION")]
    pub reconcile_interval: Duration,

    /// The longest log that is stored of one attempt; the rest is dropped, with a marker
    #[arg(long, env = "SLIPWAY_MAX_LOG_SIZE", default_value = "64Mi", value_parser = value::bytes, value_name = "BYTES")]
    pub max_log_size: u64,

    /// The longest line that is stored of a log; the rest is dropped, with a marker
    #[arg(long, env = "SLIPWAY_MAX_LOG_LINE", default_value = "64Ki", value_parser = value::line_length, value_name = "BYTES")]
    pub max_log_line: usize,

    /// A file of values, one a line, to mask as *** in logs, in addition to text that looks like a secret
    #[arg(long, env = "SLIPWAY_LOG_MASK_FILE", value_name = "FILE")]
    pub log_mask_file: Option<PathBuf>,
}

impl DispatchArgs {
    /// Returns the limits of projects without limits of their own.
    pub fn quotas(&self) -> Quotas {
        Quotas {
            max_queued: self.max_queued_per_project,
            max_per_hour: self.max_builds_per_hour,
        }
    }

    /// Returns the slots that limit claims.
    pub fn slots(&self) -> Slots {
        Slots {
            total: self.max_running,
            per_project: self.max_running_per_project,
        }
    }
}
