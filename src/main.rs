//! The `slipway` binary.

use std::process::ExitCode;

use clap::Parser;
use slipway::{app, config::Cli};

fn main() -> ExitCode {
    app::run(Cli::parse())
}
