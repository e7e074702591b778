//! Kubernetes' control plane on this machine, for as long as the figures need it: it would take part in all others.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/cluster");
/// Where it lies, apart from the one that is developed with: thousands of Jobs go with their database.
const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.local/bench/cluster");

/// The control plane; dropping it stops it, and removes all that it kept.
pub struct ControlPlane(());

impl ControlPlane {
    /// Brings it up. Compiles it, unless that was done before.
    pub fn up() -> Result<Self> {
        // What a run left that was killed.
        down();
        let this = Self(());
        let up = script("up.sh")
            .arg("--control-plane")
            .stdout(Stdio::from(std::io::stderr()))
            .status()?;
        ensure!(up.success(), "deploy/cluster/up.sh --control-plane failed");
        Ok(this)
    }

    /// An administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        format!("{HOME}/kubeconfig")
    }

    /// The same, for a client.
    pub async fn config(&self) -> Result<Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        down();
    }
}

fn down() {
    let down = script("down.sh").arg("--purge").stdout(Stdio::null()).status();
    if !down.is_ok_and(|down| down.success()) {
        eprintln!("the control plane stays up: SLIPWAY_CLUSTER_HOME={HOME} make cluster-down ends it");
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

/// One of the cluster's scripts.
fn script(name: &str) -> Command {
    let mut bash = Command::new("bash");
    bash.arg(format!("{SCRIPTS}/{name}"))
        .env("SLIPWAY_CLUSTER_HOME", HOME)
        .env_remove("SLIPWAY_CLUSTER_PORT")
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    bash
}
