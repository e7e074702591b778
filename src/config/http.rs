//! Settings of the HTTP server.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::HeaderValue;
use ipnet::IpNet;

use super::value;
use crate::{
    api::{ListenerOptions, Rates},
    client::base_url,
};

/// Settings of the HTTP server and its limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// The address to listen on
    #[arg(
        long,
        env = "SLIPWAY_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Accept requests without a token: every client has all permissions. Only on a loopback address
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

    /// Allow projects' tokens to push anywhere if the project sets no destinations; otherwise, only
    /// administrators may
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

    /// The address at which builds fetch uploaded contexts from this service [default: http://<--listen>]
    #[arg(long, env = "SLIPWAY_INTERNAL_URL", value_parser = base_url, value_name = "URL")]
    pub internal_url: Option<url::Url>,

    /// The place for uploaded contexts: a folder, or s3://, gs:// or az:// with the cloud's usual variables
    #[arg(
        long,
        env = "SLIPWAY_CONTEXT_STORE",
        default_value = "./contexts",
        value_name = "FOLDER|URL"
    )]
    pub context_store: String,

    /// The largest context that may be uploaded, in compressed form
    #[arg(long, env = "SLIPWAY_MAX_CONTEXT_SIZE", default_value = "512Mi", value_parser = value::bytes, value_name = "BYTES")]
    pub max_context_size: u64,

    /// The number of connections that are served at once; further ones wait
    #[arg(long, env = "SLIPWAY_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub max_connections: u32,

    /// The number of connections from one address (of IPv6, one /64) that are served at once; further ones
    /// are closed. Trusted proxies are exempt. 0: no limit
    #[arg(
        long,
        env = "SLIPWAY_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 512,
        value_name = "N"
    )]
    pub max_connections_per_address: u32,

    /// The number of logs and events that are followed at once; further requests are answered 503
    #[arg(long, env = "SLIPWAY_MAX_STREAMS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub max_streams: u32,

    /// The largest delivery that a git host may send to a trigger
    #[arg(long, env = "SLIPWAY_MAX_DELIVERY_SIZE", default_value = "2Mi", value_parser = value::delivery_size, value_name = "BYTES")]
    pub max_delivery_size: usize,

    /// The number of deliveries that each process accepts for one trigger in a minute; further ones are
    /// answered 429. 0: no limit
    #[arg(
        long,
        env = "SLIPWAY_DELIVERIES_PER_MINUTE",
        default_value_t = 600,
        value_name = "N"
    )]
    pub deliveries_per_minute: u32,

    /// The number of creations that may wait for the database; further requests are answered 503
    #[arg(long, env = "SLIPWAY_CREATE_QUEUE", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N")]
    pub create_queue: u32,

    /// The longest time that a client may take to send a request's head, or stay idle between two requests
    #[arg(long, env = "SLIPWAY_HEADER_TIMEOUT", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub header_timeout: Duration,

    /// The longest time that a client may take to accept any bytes of an answer
    #[arg(long, env = "SLIPWAY_WRITE_TIMEOUT", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub write_timeout: Duration,

    /// The number of requests a second from one address (of IPv6, one /64); ten seconds' worth may come at
    /// once, and further ones are answered 429. 0: no limit
    #[arg(long, env = "SLIPWAY_ADDRESS_RATE", default_value_t = 200, value_name = "N")]
    pub address_rate: u32,

    /// The number of requests a second with one token, from all addresses; ten seconds' worth may come at
    /// once, and further ones are answered 429. 0: no limit
    #[arg(long, env = "SLIPWAY_TOKEN_RATE", default_value_t = 200, value_name = "N")]
    pub token_rate: u32,

    /// Proxies in front of this service, whose X-Forwarded-For names the client; that of others is ignored
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
    /// Checks that the settings agree.
    ///
    /// # Errors
    /// When requests need no token on an address that other machines can reach.
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

    /// Returns the options of the listener.
    pub fn listener(&self) -> ListenerOptions {
        ListenerOptions {
            max_connections: self.max_connections as usize,
            max_connections_per_address: self.max_connections_per_address as usize,
            trusted_proxies: self.trusted_proxies.clone(),
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        }
    }

    /// Returns the rate limits.
    pub fn rates(&self) -> Rates {
        Rates {
            per_address: self.address_rate,
            per_token: self.token_rate,
            trusted_proxies: self.trusted_proxies.clone(),
        }
    }

    /// Returns the address at which builds reach this service.
    pub fn internal_url(&self) -> url::Url {
        self.internal_url.clone().unwrap_or_else(|| {
            format!("http://{}/", self.listen)
                .parse()
                .expect("a socket address makes a valid http address")
        })
    }
}
