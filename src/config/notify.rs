//! Settings of notifications and commit statuses.

use clap::Args;
use ipnet::IpNet;

use crate::{
    client::base_url,
    domain::inside::Reachable,
    notifier::{TokenFile, TokenFiles},
};

/// Settings of the targets and the content of notifications and commit statuses.
#[derive(Debug, Args)]
#[command(next_help_heading = "Notifications")]
pub struct NotifyArgs {
    /// The address at which people reach this service: the beginning of links to builds
    #[arg(long, env = "SLIPWAY_EXTERNAL_URL", value_parser = base_url, value_name = "URL")]
    pub external_url: Option<url::Url>,

    /// Internal networks that notifications and commit statuses may go to, such as 10.20.0.0/16; others never
    #[arg(
        long,
        env = "SLIPWAY_CALLBACK_ALLOW",
        value_delimiter = ',',
        value_name = "NETWORK,…"
    )]
    pub callback_allow: Vec<IpNet>,

    /// The external networks that notifications and commit statuses may not go to, unless --callback-allow
    /// names them: 0.0.0.0/0,::/0 leaves only those
    #[arg(
        long,
        env = "SLIPWAY_CALLBACK_DENY",
        value_delimiter = ',',
        value_name = "NETWORK,…"
    )]
    pub callback_deny: Vec<IpNet>,

    /// A token for commit statuses: the host of the git host's API (api.github.com), and a file. The token
    /// may be limited to one project, and to repositories under a prefix; may be repeated
    #[arg(
        long,
        env = "SLIPWAY_GIT_STATUS_TOKEN_FILE",
        value_delimiter = ',',
        value_name = "[PROJECT@]HOST[/PREFIX]=FILE"
    )]
    pub git_status_token_file: Vec<TokenFile>,
}

impl NotifyArgs {
    /// Returns the addresses that callbacks may reach.
    pub fn reachable(&self) -> Reachable {
        Reachable::with(self.callback_allow.clone()).without(self.callback_deny.clone())
    }

    /// Returns the operator's tokens.
    pub fn tokens(&self) -> TokenFiles {
        TokenFiles::new(self.git_status_token_file.clone())
    }
}
