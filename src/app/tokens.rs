//! Implements `slipway token` directly on the database: for the first token, and for lost ones.

use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::SecretString;

use crate::{
    cli::{TokenArgs, TokenCommand},
    domain::{Actor, ProjectName, TokenText},
    store::{Store, StoreOptions},
};

/// Tokens in one page.
const PAGE: u32 = 100;

/// Runs the subcommand.
pub(super) async fn run(args: TokenArgs) -> Result<()> {
    let url = args.database_url().context("--database-url is missing")?;
    let store = store(url.clone())?;
    let ready = store.ready().await;
    ready.context("the database is not ready (`slipway migrate` prepares it)")?;
    let actor = Actor::command_line();
    match args.command {
        TokenCommand::Create(args) => {
            let wanted = args.token()?;
            let text = TokenText::of(rand::random());
            let token = store.add_token(&wanted, text.sha256(), None, &actor).await?;
            eprintln!("{} is made; it is shown this once", token.id);
            println!("{}", text.expose());
        }
        TokenCommand::List(args) => list(&store, args.project.as_ref()).await?,
        TokenCommand::Revoke(args) => {
            for id in args.ids {
                let revoked = store.revoke_token(args.project.as_ref(), id, &actor);
                revoked
                    .await?
                    .with_context(|| format!("there is no token {id} there"))?;
                eprintln!("{id} is revoked; services notice it within seconds");
            }
        }
    }
    Ok(())
}

/// Prints one token a line, newest first.
async fn list(store: &Store, project: Option<&ProjectName>) -> Result<()> {
    let mut before = None;
    loop {
        let page = store.tokens(project, before, PAGE).await?;
        for token in &page {
            let scopes: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
            let state = match (token.revoked_at, token.expires_at) {
                (Some(at), _) => format!("revoked {at}"),
                (None, Some(at)) => format!("until {at}"),
                (None, None) => "live".to_owned(),
            };
            println!("{}\t{}\t{}\t{state}", token.id, token.name, scopes.join(","));
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => before = Some(last.id),
            _ => return Ok(()),
        }
    }
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
