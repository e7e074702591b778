//! Tokens for the API, and their text format.

use std::{fmt, str::FromStr};

use flate2::Crc;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    ProjectName, Scope, TokenId,
    text::{Invalid, plain, text_type},
};

text_type!(
    /// Name of a token, for people: 1 to 100 bytes.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    TokenName,
    check_name
);

/// Prefix of every token, by which people and scanners recognize one.
const PREFIX: &str = "slw_";
/// Number of base-62 digits for 256 bits.
const SECRET: usize = 43;
/// Number of base-62 digits for 32 bits.
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Token as its owner has it: `slw_`, 256 random bits as 43 digits in base 62, and 6 more digits, which are
/// the CRC-32 of all before them. The checksum reveals a mistyped or truncated token without a query. `Debug`
/// never shows the text.
#[derive(Debug, Clone)]
pub struct TokenText(SecretString);

impl TokenText {
    /// Creates the token with these random bits.
    pub fn of(random: [u8; 32]) -> Self {
        let mut text = PREFIX.to_owned();
        text.push_str(&digits(random, SECRET));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text.into())
    }

    /// Returns the text, to be shown once to the caller that created the token.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the digest that is stored of the token.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

impl FromStr for TokenText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("is no token");
        let digits = text.strip_prefix(PREFIX).ok_or_else(invalid)?;
        let formed =
            digits.len() == SECRET + CHECKSUM && digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        if !formed {
            return Err(invalid());
        }
        let (said, sum) = text.split_at(PREFIX.len() + SECRET);
        if checksum(said) != sum {
            return Err(invalid());
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// Encodes a number, its most significant byte first, with `count` digits in base 62.
fn digits<const N: usize>(mut number: [u8; N], count: usize) -> String {
    let mut digits = vec![DIGITS[0]; count];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u16;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            rest = value % 62;
            *byte = u8::try_from(value / 62).expect("the rest is below the base");
        }
        *digit = DIGITS[usize::from(rest)];
    }
    digits.into_iter().map(char::from).collect()
}

fn checksum(text: &str) -> String {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    digits(crc.sum().to_be_bytes(), CHECKSUM)
}

/// Stored token: everything but its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its identifier.
    pub id: TokenId,
    /// Project that it grants access to; `None` for administrators' tokens, which grant access to all.
    pub project: Option<ProjectName>,
    /// Its name.
    pub name: TokenName,
    /// Its scopes.
    pub scopes: Vec<Scope>,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Time from which it is invalid.
    pub expires_at: Option<Timestamp>,
    /// Time of the last use, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// Time at which it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Returns true if one of its scopes includes this one.
    pub fn gives(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.gives(wanted))
    }
}

/// Token that is about to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The project; `None` if and only if the scopes include `admin`.
    project: Option<ProjectName>,
    name: TokenName,
    scopes: Vec<Scope>,
    lifetime: Option<std::time::Duration>,
}

impl NewToken {
    /// Creates a token for a project, or for administrators.
    ///
    /// # Errors
    /// Fails without a scope, with a project and `admin`, and with neither of these two.
    pub fn new(
        project: Option<ProjectName>,
        name: TokenName,
        mut scopes: Vec<Scope>,
        lifetime: Option<std::time::Duration>,
    ) -> Result<Self, Invalid> {
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(Invalid::new("must name at least one scope"));
        }
        match (&project, scopes.contains(&Scope::Admin)) {
            (Some(_), true) => Err(Invalid::new("must not name admin for a token of a project")),
            (None, false) => Err(Invalid::new("must name admin for a token without a project")),
            _ => Ok(Self {
                project,
                name,
                scopes,
                lifetime,
            }),
        }
    }

    /// Returns the project, if the token belongs to one.
    pub fn project(&self) -> Option<&ProjectName> {
        self.project.as_ref()
    }

    /// Returns the token's name.
    pub fn name(&self) -> &TokenName {
        &self.name
    }

    /// Returns the token's scopes, sorted and without duplicates.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns the token's lifetime; unlimited if absent.
    pub fn lifetime(&self) -> Option<std::time::Duration> {
        self.lifetime
    }
}

/// Author of a change, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token that the actor used.
    pub token: Option<TokenId>,
    /// The token's name, `anonymous`, `command line` or `service`.
    pub name: String,
}

impl Actor {
    /// Returns the actor of a request that needs no token.
    pub fn anonymous() -> Self {
        Self {
            token: None,
            name: "anonymous".to_owned(),
        }
    }

    /// Returns the actor of the command line, which works on the database directly.
    pub fn command_line() -> Self {
        Self {
            token: None,
            name: "command line".to_owned(),
        }
    }

    /// Returns the actor of changes that the service makes by itself.
    pub fn service() -> Self {
        Self {
            token: None,
            name: "service".to_owned(),
        }
    }
}

impl From<&Token> for Actor {
    fn from(token: &Token) -> Self {
        Self {
            token: Some(token.id),
            name: token.name.to_string(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token {
            Some(id) => write!(f, "{} ({id})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn check_name(text: &str) -> Result<(), Invalid> {
    plain(text, 100)?;
    if text.trim() != text {
        return Err(Invalid::new("must not begin or end with a space"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
