//! The command line and the environment: `--help` is the reference.

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
/// `slipway serve` is the service. `slipway build` and its like ask one, whose address is --server, SLIPWAY_SERVER or
/// `server` in ~/.config/slipway/config.toml. A flag can also be set by the environment variable that its help names.
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
    /// What a running service is asked to do.
    #[command(flatten)]
    Client(cli::Command),
    /// Run the service: the REST API, the dispatcher, or both.
    Serve(Box<ServeArgs>),
    /// Apply the database's migrations, and end.
    Migrate(MigrateArgs),
    /// Print the OpenAPI description of the REST API as JSON, and end.
    Openapi,
    /// Say what recorded Kubernetes objects and a log amount to, as one JSON object: for bug reports.
    Classify(ClassifyArgs),
    /// Fetch an uploaded context and unpack it: what a build's init container runs.
    FetchContext(FetchContextArgs),
    /// Print a script that completes this command line in a shell, and end.
    ///
    /// For bash: `source <(slipway completions bash)`.
    Completions(CompletionsArgs),
}

/// The settings of `slipway completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
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

/// What runs the builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LauncherKind {
    /// One Job per build on a Kubernetes cluster.
    Kubernetes,
    /// Containers of Docker or Podman on this machine.
    Engine,
    /// Nothing: every build succeeds at once, without an image. For load tests only.
    None,
}

/// The settings of `slipway serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What this process does; several replicas of each role may run
    #[arg(long, env = "SLIPWAY_ROLE", value_enum, default_value = "all")]
    pub role: Role,

    /// What runs the builds
    #[arg(long, env = "SLIPWAY_LAUNCHER", value_enum, default_value = "kubernetes")]
    pub launcher: LauncherKind,

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
    /// What is kept, and for how long.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// What goes out.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// How secrets are kept.
    #[command(flatten)]
    pub secret: SecretArgs,
    /// What kaniko is told.
    #[command(flatten)]
    pub kaniko: KanikoArgs,
    /// The launcher for Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// The launcher for a container engine.
    #[command(flatten)]
    pub engine: EngineArgs,
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
