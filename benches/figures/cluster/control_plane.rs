//! Kubernetes' control plane on this machine, for as long as the figures need it: it would take part in all others.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/cluster");

/// The control plane; dropping it stops it, if it was not up before.
pub struct ControlPlane {
    home: PathBuf,
    started: bool,
}

impl ControlPlane {
    /// Brings it up, unless it is. Compiles it, unless that was done before.
    pub fn up() -> Result<Self> {
        let home = std::env::var_os("SLIPWAY_CLUSTER_HOME").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.local/cluster")),
            PathBuf::from,
        );
        let started = !is_up();
        let up = script("up.sh")
            .arg("--control-plane")
            .stdout(Stdio::from(std::io::stderr()))
            .status()?;
        let this = Self { home, started };
        ensure!(up.success(), "deploy/cluster/up.sh --control-plane failed");
        Ok(this)
    }

    /// An administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.home.join("kubeconfig").display().to_string()
    }

    /// The same, for a client.
    pub async fn config(&self) -> Result<Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        let down = script("down.sh").stdout(Stdio::null()).status();
        if !down.is_ok_and(|down| down.success()) {
            eprintln!("the control plane stays up: make cluster-down ends it");
        }
    }
}

/// The cluster's controllers, stopped for as long as this lives: what they do about new Jobs takes the same processors,
/// and is no part of creations.
pub struct Pause(());

impl Pause {
    /// Stops them.
    pub async fn begin() -> Result<Self> {
        signal("pause")?;
        // What they had asked for is answered.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self(()))
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Err(error) = signal("continue") {
            eprintln!("the cluster's controllers stay stopped: {error:#}");
        }
    }
}

fn signal(what: &str) -> Result<()> {
    let out = script("component.sh")
        .args([what, "kube-controller-manager"])
        .output()
        .context("bash")?;
    ensure!(
        out.status.success(),
        "component.sh {what}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

fn is_up() -> bool {
    let status = script("component.sh").arg("status").output();
    status.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("running"))
}

/// One of the cluster's scripts, for a cluster of our own: thousands of Jobs are nothing to do to another one.
fn script(name: &str) -> Command {
    let mut bash = Command::new("bash");
    bash.arg(format!("{SCRIPTS}/{name}"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    bash
}
