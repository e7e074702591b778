//! Settings of kaniko for every build.

use clap::Args;

use crate::launcher::kaniko_args::KanikoOptions;

/// Settings of the executor.
#[derive(Debug, Args)]
#[command(next_help_heading = "Executor")]
pub struct KanikoArgs {
    /// The executor's image: kaniko, or any other that accepts its arguments; pin it by digest in production
    #[arg(long, env = "SLIPWAY_EXECUTOR_IMAGE", default_value_t = KanikoOptions::default().image, value_name = "IMAGE")]
    pub executor_image: String,

    /// Registries that are reached over plain HTTP, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_INSECURE_REGISTRIES",
        value_delimiter = ',',
        value_name = "HOST[:PORT]"
    )]
    pub insecure_registry: Vec<String>,

    /// Mirrors of Docker Hub that are tried first, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_REGISTRY_MIRRORS",
        value_delimiter = ',',
        value_name = "HOST[:PORT][/PATH]"
    )]
    pub registry_mirror: Vec<String>,

    /// Registries that replace others, separated by commas
    #[arg(
        long,
        env = "SLIPWAY_REGISTRY_MAPS",
        value_delimiter = ',',
        value_name = "ORIGINAL=REPLACEMENT"
    )]
    pub registry_map: Vec<String>,

    /// Paths that are never added to an image, separated by commas (on kind nodes: /product_uuid)
    #[arg(
        long,
        env = "SLIPWAY_IGNORE_PATHS",
        value_delimiter = ',',
        value_name = "PATH"
    )]
    pub ignore_path: Vec<String>,

    /// A further argument for kaniko, as one word: --executor-arg=--skip-unused-stages; may be repeated
    #[arg(
        long,
        env = "SLIPWAY_EXECUTOR_ARGS",
        value_delimiter = ' ',
        allow_hyphen_values = true,
        value_name = "FLAG=VALUE"
    )]
    pub executor_arg: Vec<String>,
}

impl KanikoArgs {
    /// Returns the options of the launchers.
    pub fn options(&self) -> KanikoOptions {
        KanikoOptions {
            image: self.executor_image.clone(),
            insecure_registries: self.insecure_registry.clone(),
            registry_mirrors: self.registry_mirror.clone(),
            registry_maps: self.registry_map.clone(),
            ignore_paths: self.ignore_path.clone(),
            extra_args: self.executor_arg.clone(),
            ..KanikoOptions::default()
        }
    }
}
