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

    /// The largest delivery that a git host may send to a trigger
    #[arg(long, env = "SLIPWAY_MAX_DELIVERY_SIZE", default_value = "2Mi", value_parser = value::delivery_size, value_name = "BYTES")]
    pub max_delivery_size: usize,

    /// Deliveries that one trigger takes in a minute from each process; beyond, they are answered 429. 0: any number
    #[arg(
        long,
        env = "SLIPWAY_DELIVERIES_PER_MINUTE",
        default_value_t = 600,
        value_name = "N"
    )]
    pub deliveries_per_minute: u32,

    /// Creations that may wait for the database; beyond, requests are answered 503
    #[arg(long, env = "SLIPWAY_CREATE_QUEUE", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N")]
    pub create_queue: u32,
}

impl HttpArgs {
    /// How builds reach this service.
    pub fn internal_url(&self) -> url::Url {
        self.internal_url.clone().unwrap_or_else(|| {
            format!("http://{}/", self.listen)
                .parse()
                .expect("a socket address makes a valid http address")
        })
    }
}
