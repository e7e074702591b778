//! Defines the command line and the environment variables; `--help` is the reference.

mod database;
mod dispatch;
mod engine;
mod http;
mod kaniko;
mod kubernetes;
mod log;
mod notify;
mod retention;
mod secret;
mod value;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::{
    database::DatabaseArgs, dispatch::DispatchArgs, engine::EngineArgs, http::HttpArgs, kaniko::KanikoArgs,
    kubernetes::KubernetesArgs, log::LogArgs, notify::NotifyArgs, retention::RetentionArgs,
    secret::SecretArgs, value::Keep,
};
use crate::{
    cli,
    launcher::{classify::ClassifyArgs, context::FetchContextArgs},
};

/// An HTTP build queue behind a private registry: one kaniko Job per request.
///
/// `slipway serve` runs the service. Commands such as `slipway build` call a running service, whose address
/// is --server, SLIPWAY_SERVER or `server` in ~/.config/slipway/config.toml. A flag can also be set by the
/// environment variable that its help names.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Commands that talk to a running service.
    #[command(flatten)]
    Client(cli::Command),
    /// Run the service: the REST API, the dispatcher, or both.
    Serve(Box<ServeArgs>),
    /// Apply the database's migrations, and exit.
    Migrate(MigrateArgs),
    /// Print the OpenAPI description of the REST API as JSON, and exit.
    Openapi,
    /// Classify recorded Kubernetes objects and a log, as one JSON object: for bug reports.
    Classify(ClassifyArgs),
    /// Fetch an uploaded context and unpack it, as a build's init container does.
    FetchContext(FetchContextArgs),
    /// Print a script that completes this command line in a shell, and exit.
    ///
    /// For bash: `source <(slipway completions bash)`.
    Completions(CompletionsArgs),
}

/// Arguments of `slipway completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Part of the service that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// All parts.
    All,
    /// HTTP API only.
    Api,
    /// Launches and observes builds; serves only /livez, /readyz and /metrics.
    Dispatcher,
}

/// Backend that runs the builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LauncherKind {
    /// One Job per build on a Kubernetes cluster.
    Kubernetes,
    /// Containers of Docker or Podman on this machine.
    Engine,
    /// No backend: every build succeeds at once, without an image. For load tests only.
    None,
}

/// Settings of `slipway serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The part of the service that this process runs; several replicas of each role may run
    #[arg(long, env = "SLIPWAY_ROLE", value_enum, default_value = "all")]
    pub role: Role,

    /// The backend that runs the builds
    #[arg(long, env = "SLIPWAY_LAUNCHER", value_enum, default_value = "kubernetes")]
    pub launcher: LauncherKind,

    /// Apply the migrations at the start (one of several replicas does so, and the others wait for it)
    #[arg(long, env = "SLIPWAY_MIGRATE", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub migrate: bool,

    /// The time that a shutdown allows for work in progress, before it aborts the rest
    #[arg(long, env = "SLIPWAY_SHUTDOWN_GRACE", default_value = "20s", value_parser = value::duration, value_name = "DURATION")]
    pub shutdown_grace: std::time::Duration,

    /// Settings of the database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Settings of HTTP.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Settings of the queue.
    #[command(flatten)]
    pub dispatch: DispatchArgs,
    /// Settings of retention.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// Settings of notifications.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Settings of the keys for secrets.
    #[command(flatten)]
    pub secret: SecretArgs,
    /// Settings of kaniko.
    #[command(flatten)]
    pub kaniko: KanikoArgs,
    /// Settings of the launcher for Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// Settings of the launcher for a container engine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Settings of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Settings of `slipway migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Settings of the database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Settings of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

#[cfg(test)]
mod tests;
