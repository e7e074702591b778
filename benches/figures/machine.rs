//! The machine that the figures are of.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

/// What figures depend on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that this program may use.
    pub cores: usize,
    /// Their kind.
    pub processor: String,
    /// Memory, in billions of bytes.
    pub memory_gb: f64,
    /// The kernel's release.
    pub kernel: String,
    /// The version of Postgres, and its settings.
    pub postgres: String,
}

impl Machine {
    /// This one.
    pub fn here(postgres: String) -> Self {
        let line = |file: &str, key: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split(':').nth(1))
                .map(|value| value.trim().to_owned())
                .unwrap_or_default()
        };
        let kib: f64 = line("/proc/meminfo", "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or(f64::NAN);
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory_gb: kib * 1024.0 / 1e9,
            kernel: said("uname", &["-r"]),
            postgres,
        }
    }
}

/// The commit that is measured; marked where something of it was changed.
pub fn commit() -> String {
    said("git", &["describe", "--always", "--dirty", "--abbrev=10"])
}

/// What a program prints.
pub fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default()
}
