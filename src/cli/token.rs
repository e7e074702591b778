//! `slipway token`: over the REST API, or on the database itself, as the first token needs it.

use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::{
    ending::{Ending, Failure},
    screen::Screen,
    settings::ServiceArgs,
};
use crate::domain::{Invalid, NewToken, ProjectName, Scope, TokenName};

/// The longest time after which a token may expire.
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// The settings of `slipway token`.
///
/// With --database-url or SLIPWAY_DATABASE_URL it works on the database itself, and needs no token: so the first one is
/// made. Otherwise it asks the service.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,

    /// Work on this database, without the service: for whoever looks after it
    #[arg(
        long,
        env = "SLIPWAY_DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_parser = secret,
        value_name = "URL"
    )]
    database_url: Option<SecretString>,

    /// The service.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it: it is shown this once.
    Create(CreateArgs),
}

/// The settings of `slipway token create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it, for people
    #[arg(long, value_name = "NAME")]
    name: TokenName,

    /// The only project that it opens; none for an administrator's
    #[arg(long, short, value_name = "PROJECT")]
    project: Option<ProjectName>,

    /// What it may be used for; may be repeated
    #[arg(long = "scope", required = true, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<Scope>,

    /// When it expires, such as 90d or 12h [default: never]
    #[arg(long, value_parser = lifetime, value_name = "DURATION")]
    expires: Option<Duration>,
}

impl TokenArgs {
    /// The database to work on, if the service is not to be asked.
    pub fn database_url(&self) -> Option<&SecretString> {
        self.database_url.as_ref()
    }
}

impl CreateArgs {
    /// The token that is wanted.
    ///
    /// # Errors
    /// With a project and the scope `admin`, or with neither.
    pub fn token(self) -> Result<NewToken, Invalid> {
        NewToken::new(self.project, self.name, self.scopes, self.expires)
            .map_err(|error| Invalid::new(format_args!("--scope {error}")))
    }
}

pub(super) async fn run(_args: TokenArgs, _screen: &mut Screen) -> Result<Ending, Failure> {
    Err(Failure::Input(
        "--database-url (or SLIPWAY_DATABASE_URL) has to name the database".to_owned(),
    ))
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
