//! Settings of the database.

use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::value;
use crate::store::StoreOptions;

/// Settings of the connections to the database.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// The address of Postgres 15 or later; may be a pooler in transaction mode, with --database-direct-url
    #[arg(long, env = "SLIPWAY_DATABASE_URL", hide_env_values = true, value_parser = value::database_url, value_name = "URL")]
    pub database_url: SecretString,

    /// The address without a pooler, for LISTEN, session locks and migrations [default: --database-url]
    #[arg(long, env = "SLIPWAY_DATABASE_DIRECT_URL", hide_env_values = true, value_parser = value::database_url, value_name = "URL")]
    pub database_direct_url: Option<SecretString>,

    /// The size of this process's connection pool; up to nine pinned connections come in addition
    #[arg(long, env = "SLIPWAY_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000), value_name = "N")]
    pub database_connections: u32,

    /// The longest time that a request waits for a connection; after it, the answer is 503
    #[arg(long, env = "SLIPWAY_DATABASE_ACQUIRE_TIMEOUT", default_value = "3s", value_parser = value::duration, value_name = "DURATION")]
    pub database_acquire_timeout: Duration,

    /// Wake other replicas by LISTEN and NOTIFY; without it, they poll once a second
    #[arg(long, env = "SLIPWAY_DATABASE_NOTIFY", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub database_notify: bool,
}

impl DatabaseArgs {
    /// Returns the options of the store.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            url: self.database_url.clone(),
            direct_url: self.database_direct_url.clone(),
            max_connections: self.database_connections,
            acquire_timeout: self.database_acquire_timeout,
            notify: self.database_notify,
        }
    }
}
