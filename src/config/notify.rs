//! Settings of what goes out: notifications and commit statuses.

use clap::Args;
use ipnet::IpNet;

use crate::{
    client::base_url,
    domain::inside::Reachable,
    notifier::{TokenFile, TokenFiles},
};

/// Where notifications and commit statuses may go, and what they say.
#[derive(Debug, Args)]
#[command(next_help_heading = "Notifications")]
pub struct NotifyArgs {
    /// Where people reach this service: what links to builds begin with
    #[arg(long, env = "SLIPWAY_EXTERNAL_URL", value_parser = base_url, value_name = "URL")]
    pub external_url: Option<url::Url>,

    /// Networks inside that notifications and commit statuses may go to, such as 10.20.0.0/16; others never
    #[arg(
        long,
        env = "SLIPWAY_CALLBACK_ALLOW",
        value_delimiter = ',',
        value_name = "NETWORK,…"
    )]
    pub callback_allow: Vec<IpNet>,

    /// Networks outside that notifications and commit statuses may not go to, unless they are allowed by name:
    /// 0.0.0.0/0,::/0 leaves only those
    #[arg(
        long,
        env = "SLIPWAY_CALLBACK_DENY",
        value_delimiter = ',',
        value_name = "NETWORK,…"
    )]
    pub callback_deny: Vec<IpNet>,

    /// A token for commit statuses: the host that the git host's API is called on (api.github.com), and a file. It may
    /// be for one project, and for repositories under a prefix; may be repeated
    #[arg(
        long,
        env = "SLIPWAY_GIT_STATUS_TOKEN_FILE",
        value_delimiter = ',',
        value_name = "[PROJECT@]HOST[/PREFIX]=FILE"
    )]
    pub git_status_token_file: Vec<TokenFile>,
}

impl NotifyArgs {
    /// Where callbacks may go.
    pub fn reachable(&self) -> Reachable {
        Reachable::with(self.callback_allow.clone()).without(self.callback_deny.clone())
    }

    /// The operator's tokens.
    pub fn tokens(&self) -> TokenFiles {
        TokenFiles::new(self.git_status_token_file.clone())
    }
}
