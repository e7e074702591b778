//! A service whose builds never end, as a process of its own: this program once more. `--launcher=none` has no such
//! builds, and memory is that of a process, in which nothing else must be.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};

use super::{inside::Inside, logs::Printer, service::resident_mb};

/// The first argument of the process.
pub const ARGUMENT: &str = "--holding";

/// The process; dropping it stops it.
pub struct Holding {
    child: Child,
    /// Where it answers.
    pub address: String,
}

impl Holding {
    /// Starts it over this database, with so many slots.
    pub fn start(database: &str, slots: u32) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, database, &slots.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("it has an output")?;
        let mut address = String::new();
        BufReader::new(out).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let holding = Self { child, address };
        ensure!(!holding.address.is_empty(), "the process did not come up");
        Ok(holding)
    }

    /// Resident memory, in millions of bytes.
    pub fn resident_mb(&self) -> Result<f64> {
        resident_mb(&self.child.id().to_string())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does: says where it answers, and ends with the one that started it.
pub async fn hold(mut args: impl Iterator<Item = String>) -> Result<()> {
    let (database, slots) = (
        args.next().context("no database")?,
        args.next().context("no slots")?,
    );
    let inside = Inside::start(&database, Arc::new(Printer::default()), slots.parse()?).await?;
    println!("{}", inside.address);
    // The other end is closed when that process has gone.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
