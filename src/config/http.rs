//! Settings of the HTTP side.

use std::net::SocketAddr;

use clap::Args;

use super::value;
use crate::client::base_url;

/// Where and how HTTP is answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// The address to answer on
    #[arg(
        long,
        env = "SLIPWAY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Ask nobody for a token: everybody who reaches the address may do everything. Only on a loopback address
    #[arg(
        long,
        env = "SLIPWAY_NO_AUTH",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub no_auth: bool,

    /// Let projects' tokens push anywhere where their projects settle no destinations; else only administrators may
    #[arg(
        long,
        env = "SLIPWAY_ALLOW_ANY_DESTINATION",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub allow_any_destination: bool,

    /// How build pods or containers reach this service, to fetch uploaded contexts [default: http://<--listen>]
    #[arg(long, env = "SLIPWAY_INTERNAL_URL", value_parser = base_url, value_name = "URL")]
    pub internal_url: Option<url::Url>,

    /// Where uploaded contexts are kept: a folder, or s3://, gs:// or az:// with the cloud's usual variables
    #[arg(
        long,
        env = "SLIPWAY_CONTEXT_STORE",
        default_value = "./contexts",
        value_name = "FOLDER|URL"
    )]
    pub context_store: String,

    /// The largest context that may be uploaded, compressed
    #[arg(long, env = "SLIPWAY_MAX_CONTEXT_SIZE", default_value = "512Mi", value_parser = value::bytes, value_name = "BYTES")]
    pub max_context_size: u64,

    /// Connections that are served at once; further ones wait
    #[arg(long, env = "SLIPWAY_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub max_connections: u32,

    /// Logs and events that are followed at once; beyond, requests are answered 503
    #[arg(long, env = "SLIPWAY_MAX_STREAMS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub max_streams: u32,

    /// Creations that may wait for the database; beyond, requests are answered 503
    #[arg(long, env = "SLIPWAY_CREATE_QUEUE", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N")]
    pub create_queue: u32,
}

impl HttpArgs {
    /// What must hold of the settings together.
    ///
    /// # Errors
    /// When nobody is asked for a token on an address that others reach.
    pub fn check(&self) -> Result<(), String> {
        if self.no_auth && !self.listen.ip().is_loopback() {
            return Err(format!(
                "--no-auth lets everybody do everything, and --listen={} is no loopback address: others would reach it. \
                Leave --no-auth out, and make a token with `slipway token create`",
                self.listen
            ));
        }
        Ok(())
    }

    /// How builds reach this service.
    pub fn internal_url(&self) -> url::Url {
        self.internal_url.clone().unwrap_or_else(|| {
            format!("http://{}/", self.listen)
                .parse()
                .expect("a socket address makes a valid http address")
        })
    }
}
