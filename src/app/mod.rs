//! Composes the service from its parts.

mod launcher;
mod secrets;
mod serve;
mod tokens;

use std::{io::Write, process::ExitCode, sync::OnceLock};

use anyhow::{Context, Result};
use clap::CommandFactory;
use secrecy::SecretString;

use crate::{
    api, cli,
    config::{Cli, Command, MigrateArgs},
    domain::SystemClock,
    launcher::{
        classify,
        context::{FetchContextArgs, TOKEN_VARIABLE, fetch_context},
    },
    store::Store,
    telemetry,
};

/// Runs the command, and prints the error if it fails.
pub fn run(cli: Cli) -> ExitCode {
    install_tls();
    let done = match cli.command {
        Command::Client(cli::Command::Token(args)) if args.database_url().is_some() => {
            in_runtime(tokens::run(args))
        }
        Command::Client(command) => return ask(command),
        Command::Completions(args) => print_completions(args.shell),
        Command::Openapi => print_openapi(),
        Command::Classify(args) => classify::run(&args).map(|answer| println!("{answer}")),
        Command::FetchContext(args) => return fetch(args),
        Command::Migrate(args) => in_runtime(migrate(args)),
        Command::Serve(args) => in_runtime(serve::serve(*args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs the cryptography provider for all TLS connections of this process.
fn install_tls() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // An error means that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(work)
}

/// Runs a client command. The shutdown does not wait for blocking reads such as those of standard input.
fn ask(command: cli::Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("slipway: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(command, &SystemClock));
    runtime.shutdown_background();
    code
}

fn print_completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "slipway", &mut script);
    match std::io::stdout().write_all(&script) {
        // The reader has closed the pipe, which is no error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn print_openapi() -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&api::openapi())?);
    Ok(())
}

async fn migrate(args: MigrateArgs) -> Result<()> {
    telemetry::start_logs(args.log.log_format, &args.log.log).map_err(anyhow::Error::msg)?;
    let store = Store::connect(&args.database.store_options()).context("--database-url")?;
    store
        .migrate()
        .await
        .context("the migrations could not be applied")?;
    tracing::info!("the database is up to date");
    Ok(())
}

/// Runs in a build's init container; the exit code determines the build's failure reason.
fn fetch(args: FetchContextArgs) -> ExitCode {
    let token = std::env::var(TOKEN_VARIABLE).ok().map(SecretString::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let fetched = match runtime {
        Ok(runtime) => runtime.block_on(fetch_context(args, token)),
        Err(error) => {
            eprintln!("slipway: fetch-context: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match fetched {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway: fetch-context: {error}");
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}
