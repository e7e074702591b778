//! Settings of the HTTP side.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::HeaderValue;
use ipnet::IpNet;

use super::value;
use crate::{
    api::{ListenerOptions, Rates},
    client::base_url,
};

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

    /// Connections from one address (of IPv6, one /64) that are served at once; further ones are closed. Trusted proxies
    /// may have any number. 0: any number
    #[arg(
        long,
        env = "SLIPWAY_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 512,
        value_name = "N"
    )]
    pub max_connections_per_address: u32,

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

    /// How long a client may take to send a request's head, or be silent between two requests
    #[arg(long, env = "SLIPWAY_HEADER_TIMEOUT", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub header_timeout: Duration,

    /// How long a client may take nothing of an answer
    #[arg(long, env = "SLIPWAY_WRITE_TIMEOUT", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub write_timeout: Duration,

    /// Requests a second from one address (of IPv6, one /64), ten seconds' worth of which may come at once; beyond,
    /// they are answered 429. 0: any number
    #[arg(long, env = "SLIPWAY_ADDRESS_RATE", default_value_t = 200, value_name = "N")]
    pub address_rate: u32,

    /// The same for requests with one token, wherever they come from
    #[arg(long, env = "SLIPWAY_TOKEN_RATE", default_value_t = 200, value_name = "N")]
    pub token_rate: u32,

    /// Proxies in front of this service, whose X-Forwarded-For says who asks; of nobody else is it believed
    #[arg(
        long = "trusted-proxy",
        env = "SLIPWAY_TRUSTED_PROXY",
        value_delimiter = ',',
        value_parser = value::network,
        value_name = "ADDRESS|CIDR"
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Origins such as `https://ci.example.com` whose pages may use the API from a browser
    #[arg(
        long = "cors-origin",
        env = "SLIPWAY_CORS_ORIGIN",
        value_delimiter = ',',
        value_parser = value::origin,
        value_name = "ORIGIN"
    )]
    pub cors_origins: Vec<HeaderValue>,
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

    /// What the listener puts up with.
    pub fn listener(&self) -> ListenerOptions {
        ListenerOptions {
            max_connections: self.max_connections as usize,
            max_connections_per_address: self.max_connections_per_address as usize,
            trusted_proxies: self.trusted_proxies.clone(),
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        }
    }

    /// How often clients may ask.
    pub fn rates(&self) -> Rates {
        Rates {
            per_address: self.address_rate,
            per_token: self.token_rate,
            trusted_proxies: self.trusted_proxies.clone(),
        }
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
