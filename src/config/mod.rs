//! The command line and the environment: `--help` is the reference.

mod database;
mod dispatch;
mod http;
mod log;
mod value;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::{database::DatabaseArgs, dispatch::DispatchArgs, http::HttpArgs, log::LogArgs};

/// An HTTP build queue behind a private registry: one kaniko Job per request.
///
/// Every flag can also be set by the environment variable that its help names.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service: the REST API, the dispatcher, or both.
    Serve(Box<ServeArgs>),
    /// Apply the database's migrations, and end.
    Migrate(MigrateArgs),
    /// Print the OpenAPI description of the REST API as JSON, and end.
    Openapi,
}

/// What a process does of the service's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// Answers HTTP.
    Api,
    /// Launches and observes builds; answers /livez, /readyz and /metrics only.
    Dispatcher,
}

/// The settings of `slipway serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What this process does; several replicas of each role may run
    #[arg(long, env = "SLIPWAY_ROLE", value_enum, default_value = "all")]
    pub role: Role,

    /// Apply the migrations at the start (of several replicas, one does it and the others wait)
    #[arg(long, env = "SLIPWAY_MIGRATE", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub migrate: bool,

    /// How long a stop waits for what was begun, before it cuts off
    #[arg(long, env = "SLIPWAY_SHUTDOWN_GRACE", default_value = "20s", value_parser = value::duration, value_name = "DURATION")]
    pub shutdown_grace: std::time::Duration,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The HTTP side.
    #[command(flatten)]
    pub http: HttpArgs,
    /// The queue.
    #[command(flatten)]
    pub dispatch: DispatchArgs,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The settings of `slipway migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

#[cfg(test)]
mod tests;
