//! `slipway token` on the database itself: for the first token, and for whoever has lost theirs.

use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::SecretString;

use crate::{
    cli::{TokenArgs, TokenCommand},
    domain::{Actor, TokenText},
    store::{Store, StoreOptions},
};

/// Does what was asked for.
pub(super) async fn run(args: TokenArgs) -> Result<()> {
    let url = args.database_url().context("--database-url is missing")?;
    let store = store(url.clone())?;
    let ready = store.ready().await;
    ready.context("the database is not ready (`slipway migrate` prepares it)")?;
    match args.command {
        TokenCommand::Create(args) => {
            let wanted = args.token()?;
            let text = TokenText::of(rand::random());
            let token = store
                .add_token(&wanted, text.sha256(), None, &Actor::command_line())
                .await?;
            eprintln!("{} is made; it is shown this once", token.id);
            println!("{}", text.expose());
        }
    }
    Ok(())
}

fn store(url: SecretString) -> Result<Store> {
    let options = StoreOptions {
        url,
        direct_url: None,
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        notify: false,
    };
    Store::connect(&options).context("--database-url")
}
