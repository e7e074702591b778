//! Settings of the launcher for a container engine.

use std::path::PathBuf;

use clap::Args;

use super::KanikoArgs;
use crate::{
    domain::quantity::{Cpu, Memory},
    launcher::engine,
};

/// Settings for builds on a container engine (--launcher=engine).
#[derive(Debug, Args)]
#[command(next_help_heading = "Container engine")]
pub struct EngineArgs {
    /// The engine's address [default: DOCKER_HOST, else Docker's socket, else Podman's]
    #[arg(long, env = "SLIPWAY_ENGINE_HOST", value_name = "unix://PATH|tcp://HOST:PORT")]
    pub engine_host: Option<String>,

    /// The name that distinguishes this service's containers from those of another one on the same engine
    #[arg(long, env = "SLIPWAY_ENGINE_INSTANCE", default_value_t = engine::Options::default().instance, value_name = "NAME")]
    pub engine_instance: String,

    /// The engine's network for builds; `host` if a registry listens on loopback only
    #[arg(long, env = "SLIPWAY_ENGINE_NETWORK", default_value_t = engine::Options::default().network, value_name = "NETWORK")]
    pub engine_network: String,

    /// Further capabilities besides kaniko's own, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_ENGINE_CAPABILITIES",
        value_delimiter = ',',
        value_name = "CAPABILITY"
    )]
    pub engine_capability: Vec<String>,

    /// A Docker config.json with the registries' credentials; each build gets a copy
    #[arg(long, env = "SLIPWAY_DOCKER_CONFIG", value_name = "FILE")]
    pub docker_config: Option<PathBuf>,

    /// A folder that replaces a cluster's Secrets, with files FOLDER/SECRET/KEY [default: none]
    #[arg(long, env = "SLIPWAY_SECRETS_FOLDER", value_name = "FOLDER")]
    pub secrets_folder: Option<PathBuf>,

    /// The folder that contains the folders of `volume` sources [default: volumes labelled
    /// slipway.dev/context]
    #[arg(long, env = "SLIPWAY_VOLUME_ROOT", value_name = "FOLDER")]
    pub volume_root: Option<PathBuf>,

    /// CPU for builds that request none [default: unlimited]
    #[arg(long, env = "SLIPWAY_ENGINE_CPU", value_name = "CPU")]
    pub engine_cpu: Option<Cpu>,

    /// Memory for builds that request none [default: unlimited]
    #[arg(long, env = "SLIPWAY_ENGINE_MEMORY", value_name = "MEMORY")]
    pub engine_memory: Option<Memory>,
}

impl EngineArgs {
    /// Returns the options of the launcher.
    pub fn options(&self, kaniko: &KanikoArgs) -> engine::Options {
        engine::Options {
            host: self
                .engine_host
                .clone()
                .or_else(|| std::env::var("DOCKER_HOST").ok()),
            instance: self.engine_instance.clone(),
            kaniko: kaniko.options(),
            network: self.engine_network.clone(),
            extra_capabilities: self.engine_capability.clone(),
            docker_config: self.docker_config.clone(),
            secrets: self.secrets_folder.clone(),
            volume_root: self.volume_root.clone(),
            default_cpu: self.engine_cpu.clone(),
            default_memory: self.engine_memory.clone(),
            ..engine::Options::default()
        }
    }
}
