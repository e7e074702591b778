//! A peer's program in bench/peers: it measures its queue, and prints a JSON line a figure.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{Measured, Sizes};
use crate::postgres::Postgres;

/// One peer.
pub struct Program {
    /// Its name, and that of its file.
    pub name: &'static str,
    kind: Kind,
    version: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Npm,
    Crate,
}

/// What a program prints.
#[derive(Deserialize)]
struct Line {
    key: String,
    values: Values,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Numbers(Vec<f64>),
    Version(String),
}

impl Program {
    /// All peers.
    pub fn all() -> Vec<Self> {
        let named = [
            ("graphile-worker", Kind::Npm),
            ("pg-boss", Kind::Npm),
            ("apalis", Kind::Crate),
        ];
        named
            .into_iter()
            .map(|(name, kind)| Self {
                name,
                kind,
                version: String::new(),
            })
            .collect()
    }

    /// With its version, once it ran.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Fetches and builds what it needs, as its lock file says.
    pub fn install(&self) -> Result<()> {
        match self.kind {
            Kind::Npm if is_installed() => Ok(()),
            Kind::Npm => succeed(Command::new("npm").args(["ci", "--no-audit", "--no-fund"])),
            Kind::Crate => succeed(
                Command::new(env!("CARGO"))
                    .args(["build", "--release", "--locked", "--quiet"])
                    .args([
                        "--manifest-path",
                        "apalis/Cargo.toml",
                        "--target-dir",
                        "apalis/target",
                    ]),
            ),
        }
    }

    /// Measures in a database of its own.
    pub fn run(&mut self, postgres: &Postgres, sizes: &Sizes) -> Result<Measured> {
        let database = postgres.another(&self.name.replace('-', "_"))?;
        let numbers = [sizes.seconds, sizes.jobs, sizes.backlog, sizes.samples];
        let out = self
            .command()
            .current_dir(folder())
            .arg(&database.url)
            .args(numbers.map(|number| number.to_string()))
            .stdin(Stdio::null())
            .output()?;
        ensure!(out.status.success(), "{}", last_words(&out.stderr));
        self.read(&String::from_utf8(out.stdout)?)
    }

    fn command(&self) -> Command {
        match self.kind {
            // The one that its lock file pins: the peers ask for a newer one than many machines have.
            Kind::Npm => {
                let mut node = Command::new(folder().join("node_modules/.bin/node"));
                node.arg(format!("{}.mjs", self.name));
                node
            }
            Kind::Crate => Command::new(folder().join("apalis/target/release/slipway-bench-apalis")),
        }
    }

    fn read(&mut self, printed: &str) -> Result<Measured> {
        let mut measured = Measured::new();
        for line in printed.lines() {
            let line: Line = serde_json::from_str(line).with_context(|| format!("not a figure: {line}"))?;
            match line.values {
                Values::Numbers(values) => drop(measured.insert(line.key, values)),
                Values::Version(version) => self.version = version,
            }
        }
        if measured.is_empty() {
            bail!("it printed no figures");
        }
        Ok(measured)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers")
}

/// Whether npm has put there what its lock file says.
fn is_installed() -> bool {
    let listed = Command::new("npm")
        .args(["ls", "--all"])
        .current_dir(folder())
        .output();
    listed.is_ok_and(|out| out.status.success())
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .current_dir(folder())
        .stdin(Stdio::null())
        .output()
        .with_context(|| name.clone())?;
    ensure!(out.status.success(), "{name}: {}", last_words(&out.stderr));
    Ok(())
}

/// The end of what a program complained of, on one line.
fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(6)..].join(" / ")
}
