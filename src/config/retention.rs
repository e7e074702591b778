//! Settings of what is kept, for how long, and where.

use std::time::Duration;

use clap::Args;

use super::value::{self, Keep};
use crate::retention::Options;

/// How long things are kept.
///
/// Times count from the end of a build where there is one, so that nothing of one that waits or runs is ever removed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionArgs {
    /// How long finished builds are kept, with all that belongs to them: a time such as 90d, or `forever`
    #[arg(long, env = "SLIPWAY_RETAIN_BUILDS", default_value = "365d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_builds: Keep,

    /// How long the logs of finished builds are kept, at most as long as the builds
    #[arg(long, env = "SLIPWAY_RETAIN_LOGS", default_value = "90d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_logs: Keep,

    /// How long the events of finished builds are kept, at most as long as the builds
    #[arg(long, env = "SLIPWAY_RETAIN_EVENTS", default_value = "365d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_events: Keep,

    /// How long an uploaded context is kept: from the upload on, and from the end of the last build that used it. A
    /// later rebuild is refused as `context_gone`
    #[arg(long, env = "SLIPWAY_RETAIN_CONTEXTS", default_value = "14d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_contexts: Keep,

    /// How long an idempotency key counts, at most as long as its build is kept
    #[arg(long, env = "SLIPWAY_RETAIN_IDEMPOTENCY_KEYS", default_value = "7d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_idempotency_keys: Keep,

    /// How long it is kept what endpoints were told of, with every try; one that still waits is kept for 14d at least
    #[arg(long, env = "SLIPWAY_RETAIN_NOTIFICATIONS", default_value = "30d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_notifications: Keep,
    /// How long deliveries to triggers are kept, from their arrival on
    #[arg(long, env = "SLIPWAY_RETAIN_DELIVERIES", default_value = "30d", value_parser = value::keep, value_name = "DURATION|forever")]
    pub retain_deliveries: Keep,

    /// Where logs of finished builds move to from the database: a folder, or s3://, gs:// or az:// with the cloud's
    /// usual variables [default: they stay]. What is there must stay reachable as long as logs are kept
    #[arg(long, env = "SLIPWAY_LOG_ARCHIVE", value_name = "FOLDER|URL")]
    pub log_archive: Option<String>,

    /// How long after the end of a build its logs move to --log-archive
    #[arg(long, env = "SLIPWAY_LOG_ARCHIVE_AFTER", default_value = "1d", value_parser = value::time, value_name = "DURATION")]
    pub log_archive_after: Duration,

    /// How often what is old is looked for; one of all replicas that answer the API does it
    #[arg(long, env = "SLIPWAY_RETENTION_INTERVAL", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub retention_interval: Duration,
}

impl RetentionArgs {
    /// The same for retention itself.
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
