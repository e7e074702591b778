//! Implements `slipway token`, over the REST API or directly on the database.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    ending::{Ending, Failure},
    screen::{Screen, Table, ago},
    settings::{Output, ServiceArgs, Settings},
};
use crate::{
    client::Token,
    domain::{Clock, Invalid, NewToken, ProjectName, Scope, TokenId, TokenName},
};

/// Longest lifetime of a token.
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// Arguments of `slipway token`.
///
/// With --database-url or SLIPWAY_DATABASE_URL the command works on the database itself and needs no token,
/// which is how the first token is created. Otherwise it calls the service.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: TokenCommand,

    /// The database to work on directly, without the service; for its operator
    #[arg(
        long,
        env = "SLIPWAY_DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_parser = secret,
        value_name = "URL"
    )]
    database_url: Option<SecretString>,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Subcommands of `slipway token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token, and print it; it is shown only now.
    Create(CreateArgs),
    /// List the tokens of a project, or of administrators.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Revoke tokens; requests with them are refused.
    Revoke(RevokeArgs),
}

/// Arguments of `slipway token list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The project; administrators' tokens if not given
    #[arg(long, short, value_name = "PROJECT")]
    pub project: Option<ProjectName>,
}

/// Arguments of `slipway token revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The project; an administrator's tokens if not given
    #[arg(long, short, value_name = "PROJECT")]
    pub project: Option<ProjectName>,

    /// The tokens' ids
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<TokenId>,
}

/// Arguments of `slipway token create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The token's name, for people
    #[arg(long, value_name = "NAME")]
    name: TokenName,

    /// The only project that the token may use; none for an administrator's token
    #[arg(long, short, value_name = "PROJECT")]
    project: Option<ProjectName>,

    /// A permission of the token; may be repeated
    #[arg(long = "scope", required = true, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<Scope>,

    /// The time until the token expires, such as 90d or 12h [default: never]
    #[arg(long, value_parser = lifetime, value_name = "DURATION")]
    expires: Option<Duration>,
}

impl TokenArgs {
    /// Returns the database to work on, or `None` to call the service.
    pub fn database_url(&self) -> Option<&SecretString> {
        self.database_url.as_ref()
    }
}

impl CreateArgs {
    /// Returns the token to create.
    ///
    /// # Errors
    /// With a project and the scope `admin`, or with neither.
    pub fn token(self) -> Result<NewToken, Invalid> {
        NewToken::new(self.project, self.name, self.scopes, self.expires)
            .map_err(|error| Invalid::new(format_args!("--scope {error}")))
    }
}

pub(super) async fn run(args: TokenArgs, clock: &dyn Clock, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    match args.command {
        TokenCommand::Create(args) => {
            let wanted = args.token().map_err(|error| Failure::Input(error.to_string()))?;
            let made = settings.client.create_token(&wanted).await?;
            if settings.output == Output::Json {
                screen.result(&made.text)?;
            } else {
                screen.note(&format!("{} is made; it is shown this once", made.value.id));
                let text = made.value.token.as_ref().map(ExposeSecret::expose_secret);
                screen.result(text.unwrap_or_default())?;
            }
        }
        TokenCommand::List(args) => list(&args, &settings, clock, screen).await?,
        TokenCommand::Revoke(args) => {
            for id in args.ids {
                settings.client.revoke_token(args.project.as_ref(), id).await?;
                screen.note(&format!("{id} is revoked"));
            }
        }
    }
    Ok(Ending::Done)
}

async fn list(
    args: &ListArgs,
    settings: &Settings,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "NAME", "SCOPES", "CREATED", "LAST USED", "STATE"]);
    let mut cursor = None;
    loop {
        let page = settings
            .client
            .tokens(args.project.as_ref(), cursor.as_deref())
            .await?;
        if settings.output == Output::Json {
            screen.result(&page.text)?;
        }
        for token in &page.value.tokens {
            let scopes: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
            let used = token.last_used_at.map(|at| ago(at, clock.now()));
            table.add(vec![
                token.id.to_string().into(),
                (&token.name).into(),
                scopes.join(",").into(),
                ago(token.created_at, clock.now()).into(),
                used.unwrap_or_default().into(),
                state(token, clock.now()).into(),
            ]);
        }
        cursor = page.value.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if settings.output == Output::Text {
        screen.result(&table.draw(""))?;
    }
    Ok(())
}

fn state(token: &Token, now: Timestamp) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) if at <= now => "expired".to_owned(),
        (None, Some(at)) => format!("until {}", at.strftime("%Y-%m-%d %H:%M UTC")),
        (None, None) => "live".to_owned(),
    }
}

/// A length of time in which a day has 24 hours.
fn lifetime(text: &str) -> Result<Duration, String> {
    let hint = "write a length of time such as 90d, 2w or 12h, at most 36500d";
    let span: jiff::Span = text.parse().map_err(|_| hint.to_owned())?;
    let time = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| hint.to_owned())?;
    match Duration::try_from(time) {
        Ok(time) if !time.is_zero() && time <= CENTURY => Ok(time),
        _ => Err(hint.to_owned()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of its parsers")]
fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.to_owned()))
}
