//! Settings of the process's own log.

use clap::Args;

use crate::telemetry::LogFormat;

/// What is logged, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, or by module as in `info,slipway::dispatcher=debug`
    #[arg(long, env = "SLIPWAY_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "SLIPWAY_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,
}
