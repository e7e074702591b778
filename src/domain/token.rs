//! Tokens: what opens the API, and how it is written.

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
    /// What a token is called: 1 to 100 bytes, for people.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    TokenName,
    check_name
);

/// How every token begins, so that people and scanners know one when they see it.
const PREFIX: &str = "slw_";
/// Digits of 256 bits.
const SECRET: usize = 43;
/// Digits of 32 bits.
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token as its owner has it: `slw_`, 256 random bits as 43 digits to the base of 62, and 6 more digits, which are the
/// CRC-32 of all before them. What was mistyped or cut off is recognised without asking anybody. Never shown by `Debug`.
#[derive(Debug, Clone)]
pub struct TokenText(SecretString);

impl TokenText {
    /// The token with these random bits.
    pub fn of(random: [u8; 32]) -> Self {
        let mut text = PREFIX.to_owned();
        text.push_str(&digits(random, SECRET));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text.into())
    }

    /// The text itself: to be shown once, to whoever asked for the token.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
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

/// A number, its most significant byte first, as so many digits.
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

/// What is known of a token: everything but its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its identifier.
    pub id: TokenId,
    /// The only project that it opens; all of them for administrators.
    pub project: Option<ProjectName>,
    /// What it is called.
    pub name: TokenName,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether one of its scopes gives this one.
    pub fn gives(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.gives(wanted))
    }
}

/// A token that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The project; none for `admin`, and only for it.
    project: Option<ProjectName>,
    name: TokenName,
    scopes: Vec<Scope>,
    lifetime: Option<std::time::Duration>,
}

impl NewToken {
    /// A token for a project, or for administrators.
    ///
    /// # Errors
    /// Without a scope; with a project and `admin`, or with neither.
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

    /// The project, if it is for one.
    pub fn project(&self) -> Option<&ProjectName> {
        self.project.as_ref()
    }

    /// What it is to be called.
    pub fn name(&self) -> &TokenName {
        &self.name
    }

    /// What it may be used for: in order, none twice.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// How long it opens anything; for ever when absent.
    pub fn lifetime(&self) -> Option<std::time::Duration> {
        self.lifetime
    }
}

/// Who does something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token that they came with.
    pub token: Option<TokenId>,
    /// The token's name, `anonymous`, `command line` or `service`.
    pub name: String,
}

impl Actor {
    /// Somebody who did not have to say who they are.
    pub fn anonymous() -> Self {
        Self {
            token: None,
            name: "anonymous".to_owned(),
        }
    }

    /// Whoever works on the database itself, with the command line.
    pub fn command_line() -> Self {
        Self {
            token: None,
            name: "command line".to_owned(),
        }
    }

    /// The service, of itself.
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
