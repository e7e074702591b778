//! Secrets of triggers: made here or given, sealed before they are stored, shown once.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{TryRngCore, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use crate::{
    api::{
        ApiState,
        problem::{Code, Problem},
    },
    domain::{TriggerId, keyring::Keyring},
    store::SealedSecret,
};

/// A secret that a caller gives: 16 to 256 visible ASCII characters. Never shown, not even where it is refused.
#[derive(Clone)]
pub(super) struct Given(SecretString);

impl Given {
    /// What was given.
    pub(super) fn text(self) -> SecretString {
        self.0
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("16 to 256 visible ASCII characters")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                let fits = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                if !fits {
                    return Err(E::custom("must be 16 to 256 visible ASCII characters"));
                }
                Ok(Given(SecretString::from(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The secret that a caller gave, or a new one of 256 random bits that no place of an address has to escape.
pub(super) fn given_or_made(given: Option<Given>) -> Result<SecretString, Problem> {
    if let Some(Given(secret)) = given {
        return Ok(secret);
    }
    let mut bytes = [0; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Problem::new(Code::Internal).cause(error))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes).into())
}

/// The keys that secrets are sealed with; refused where the operator has set none.
fn keys(state: &ApiState) -> Result<&Keyring, Problem> {
    state.keyring.as_deref().ok_or_else(|| {
        Problem::new(Code::SecretKeyMissing).detail(
            "the service has no key to keep secrets with: its operator sets --secret-key-file or SLIPWAY_SECRET_KEY",
        )
    })
}

/// What a secret is bound to.
pub(in crate::api) fn context(id: TriggerId) -> Vec<u8> {
    format!("trigger {id}").into_bytes()
}

/// The secret as the database keeps it.
pub(super) fn sealed(
    state: &ApiState,
    id: TriggerId,
    secret: &SecretString,
) -> Result<SealedSecret, Problem> {
    sealed_with(state, &context(id), secret)
}

/// A secret as the database keeps it that opens in this context only.
pub(super) fn sealed_with(
    state: &ApiState,
    context: &[u8],
    secret: &SecretString,
) -> Result<SealedSecret, Problem> {
    Ok(keys(state)?.seal(context, secret))
}

/// The secret in the one answer that shows it.
pub(super) fn shown(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}
