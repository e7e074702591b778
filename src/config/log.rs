//! Settings of the process's own log.

use clap::Args;

use crate::telemetry::LogFormat;

/// Settings of the log's content and format.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The log's filter: error, warn, info, debug, trace, or by module as in `info,slipway::dispatcher=debug`
    #[arg(long, env = "SLIPWAY_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// The format of log lines
    #[arg(long, env = "SLIPWAY_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,
}
