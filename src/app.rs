//! Composition: which parts make up the service.

use std::process::ExitCode;

use crate::config::Cli;

/// Does what the command line asks for.
pub fn run(_cli: Cli) -> ExitCode {
    ExitCode::SUCCESS
}
