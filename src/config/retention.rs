//! Settings of retention and of the log archive.

use std::time::Duration;

use clap::Args;

use super::value::{self, Keep};
use crate::retention::Options;

/// Retention times.
///
/// They count from the end of a build if there is one: nothing of a queued or running build is removed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionArgs {
    /// The time that finished builds are kept, with all that belongs to them: such as 90d, or `forever`
    #[arg(long, env = "SLIPWAY_RETAIN_BUILDS", default_value = "365d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_builds: Keep,

    /// The time that logs of finished builds are kept, at most as long as the builds
    #[arg(long, env = "SLIPWAY_RETAIN_LOGS", default_value = "90d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_logs: Keep,

    /// The time that events of finished builds are kept, at most as long as the builds
    #[arg(long, env = "SLIPWAY_RETAIN_EVENTS", default_value = "365d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_events: Keep,

    /// The time that an uploaded context is kept, after its upload and after the end of the last build that
    /// used it; later rebuilds are refused as `context_gone`
    #[arg(long, env = "SLIPWAY_RETAIN_CONTEXTS", default_value = "14d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_contexts: Keep,

    /// The time that an idempotency key is valid, at most as long as its build is kept
    #[arg(long, env = "SLIPWAY_RETAIN_IDEMPOTENCY_KEYS", default_value = "7d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_idempotency_keys: Keep,

    /// The time that notifications and delivery attempts are kept; waiting ones are kept for at least 14d
    #[arg(long, env = "SLIPWAY_RETAIN_NOTIFICATIONS", default_value = "30d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_notifications: Keep,
    /// The time that deliveries to triggers are kept, from their arrival
    #[arg(long, env = "SLIPWAY_RETAIN_DELIVERIES", default_value = "30d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_deliveries: Keep,

    /// The place that logs of finished builds move to from the database: a folder, or s3://, gs:// or az://
    /// with the cloud's usual variables [default: they stay]. It must stay reachable as long as logs are kept
    #[arg(long, env = "SLIPWAY_LOG_ARCHIVE", value_name = "FOLDER|URL")]
    pub log_archive: Option<String>,

    /// The time after the end of a build at which its logs move to --log-archive
    #[arg(long, env = "SLIPWAY_LOG_ARCHIVE_AFTER", default_value = "1d", value_parser = value::time, value_name = "DURATION")]
    pub log_archive_after: Duration,

    /// The interval at which expired data is removed; one of all replicas that serve the API does so
    #[arg(long, env = "SLIPWAY_RETENTION_INTERVAL", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub retention_interval: Duration,
}

impl RetentionArgs {
    /// Returns the options of retention.
    pub fn options(&self) -> Options {
        Options {
            builds: self.retain_builds.0,
            logs: self.retain_logs.0,
            events: self.retain_events.0,
            contexts: self.retain_contexts.0,
            idempotency_keys: self.retain_idempotency_keys.0,
            notifications: self.retain_notifications.0,
            deliveries: self.retain_deliveries.0,
            archive_after: self.log_archive_after,
            interval: self.retention_interval,
        }
    }
}
