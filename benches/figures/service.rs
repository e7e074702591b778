//! The service as a process of its own.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{load, rows::REQUEST};

/// A running `slipway serve`; dropping it stops it.
pub struct Service {
    child: Child,
    address: String,
    _contexts: TempDir,
}

impl Service {
    /// Starts a dispatcher, which answers no requests, and does not wait for it.
    pub fn dispatcher(database: &str, args: &[&str]) -> Result<Self> {
        Self::spawn(database, &[&["--role=dispatcher"], args].concat(), &[])
    }

    /// Starts the service on a free port and waits until it answers.
    pub async fn start(database: &str, args: &[&str]) -> Result<Self> {
        Self::start_in(database, args, &[]).await
    }

    /// The same with more in its environment.
    pub async fn start_in(database: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let service = Self::spawn(database, args, environment)?;
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let Ok(mut client) = load::Client::connect(&service.address).await else {
                continue;
            };
            let ready = client.get("/readyz").await;
            if ready.is_ok_and(|answer| answer.status == 200) {
                // So that the project is there.
                client.post("/api/v1/builds", REQUEST).await?;
                return Ok(service);
            }
        }
        bail!("the service did not come up")
    }

    fn spawn(database: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let contexts = tempfile::tempdir()?;
        let child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .arg("serve")
            .args(args)
            .envs(environment.iter().copied())
            .env("SLIPWAY_DATABASE_URL", database)
            .env("SLIPWAY_LISTEN", &address)
            .env("SLIPWAY_CONTEXT_STORE", contexts.path())
            .env("SLIPWAY_NO_AUTH", "true")
            .env("SLIPWAY_LOG", "warn")
            // All of the load comes from here.
            .env("SLIPWAY_ADDRESS_RATE", "0")
            .env("SLIPWAY_MAX_CONNECTIONS_PER_ADDRESS", "0")
            .env("SLIPWAY_TOKEN_RATE", "0")
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            address,
            _contexts: contexts,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Creations a second with so many clients.
    pub async fn rate(&self, clients: u32, seconds: u32) -> Result<f64> {
        let time = Duration::from_secs(u64::from(seconds));
        load::rate(&self.address, "/api/v1/builds", REQUEST, clients, time).await
    }

    /// Resident memory, in millions of bytes.
    pub fn resident_mb(&self) -> Result<f64> {
        resident_mb(&self.child.id().to_string())
    }

    /// Processor time used so far, of a clock of 100 ticks a second.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(')').next().context("no fields")?;
        let ticks: Vec<f64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }
}

/// Resident memory of a process, in millions of bytes.
pub fn resident_mb(process: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
