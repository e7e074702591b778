//! Whether a delivery comes from somebody who knows the trigger's secret: over the raw bytes, in constant time.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::provider::Provider;

/// How far a signed time may lie from ours, in seconds (Standard Webhooks).
const TOLERANCE: i64 = 300;
/// How GitLab's secrets for signatures begin (Standard Webhooks): base64 follows.
const SIGNING_SECRET: &str = "whsec_";

/// A call that is to be verified.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, every byte of it.
    pub body: &'a [u8],
    /// The secret that its address carries, for callers that can do no better.
    pub secret_in_url: Option<&'a str>,
}

/// Why a delivery is not believed. What exactly was wrong is for the record, not for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The trigger has no secret: nothing can be believed.
    #[error("the trigger has no secret")]
    NoSecret,
    /// The header that should carry the proof is missing.
    #[error("it is not signed")]
    Unsigned,
    /// The header is there twice, or is not of its form.
    #[error("its signature cannot be read")]
    Unreadable,
    /// The proof is of another secret or another body.
    #[error("its signature is wrong")]
    Wrong,
    /// It was signed too long ago, or in the future.
    #[error("the time of its signature is not now")]
    Stale,
}

/// Believes a call that one of the secrets was used for. There are two while a secret is being rotated.
///
/// # Errors
/// Why it is not believed.
pub fn verify(
    provider: Provider,
    call: &Call<'_>,
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<(), Refused> {
    let secrets: Vec<&str> = secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
        .collect();
    if secrets.is_empty() {
        return Err(Refused::NoSecret);
    }
    match provider {
        Provider::Github | Provider::Generic => signed(call, "x-hub-signature-256", "sha256=", &secrets),
        Provider::BitbucketCloud | Provider::BitbucketDc => {
            signed(call, "x-hub-signature", "sha256=", &secrets)
        }
        Provider::Gitea => signed(call, "x-gitea-signature", "", &secrets),
        // Never Gitea's header, which Forgejo sends as well.
        Provider::Forgejo => signed(call, "x-forgejo-signature", "", &secrets),
        Provider::Gitlab => gitlab(call, &secrets, now),
        Provider::Dockerhub => same(call.secret_in_url.ok_or(Refused::Unsigned)?, &secrets),
    }
}

/// The header's only value.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refused::Unsigned)?;
    if values.next().is_some() {
        return Err(Refused::Unreadable);
    }
    match value.to_str() {
        Ok("") => Err(Refused::Unsigned),
        Ok(text) => Ok(text),
        Err(_) => Err(Refused::Unreadable),
    }
}

/// A header with the body's HMAC-SHA256 in hexadecimal digits, behind `prefix`.
fn signed(call: &Call<'_>, name: &str, prefix: &str, secrets: &[&str]) -> Result<(), Refused> {
    let digits = one(call.headers, name)?
        .strip_prefix(prefix)
        .ok_or(Refused::Unreadable)?;
    let mut signature = [0; 32];
    hex::decode_to_slice(digits, &mut signature).map_err(|_| Refused::Unreadable)?;
    any(secrets, |secret| {
        authenticated(secret.as_bytes(), &[call.body], &signature)
    })
}

/// A plain token, or with a secret for signatures a signature as Standard Webhooks has it: what the trigger was given
/// decides, not what the call brings.
fn gitlab(call: &Call<'_>, secrets: &[&str], now: Timestamp) -> Result<(), Refused> {
    let (signing, tokens): (Vec<&str>, Vec<&str>) = secrets
        .iter()
        .copied()
        .partition(|secret| secret.starts_with(SIGNING_SECRET));
    if signing.is_empty() {
        return same(one(call.headers, "x-gitlab-token")?, &tokens);
    }
    let outcome = standard(call, &signing, now);
    if outcome.is_err() && !tokens.is_empty() {
        // While a token is replaced by a secret for signatures, or the other way round.
        return one(call.headers, "x-gitlab-token").and_then(|token| same(token, &tokens));
    }
    outcome
}

/// Standard Webhooks 1.0.0: `v1,<base64>` over `id.timestamp.body`; several, separated by blanks, during a rotation.
fn standard(call: &Call<'_>, secrets: &[&str], now: Timestamp) -> Result<(), Refused> {
    let id = one(call.headers, "webhook-id")?;
    let timestamp = one(call.headers, "webhook-timestamp")?;
    let signatures = one(call.headers, "webhook-signature")?;
    let seconds: i64 = timestamp.parse().map_err(|_| Refused::Unreadable)?;
    if seconds.abs_diff(now.as_second()) > TOLERANCE.unsigned_abs() {
        return Err(Refused::Stale);
    }
    let signatures: Vec<[u8; 32]> = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|text| STANDARD.decode(text).ok()?.try_into().ok())
        .collect();
    if signatures.is_empty() {
        return Err(Refused::Unreadable);
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", call.body];
    any(secrets, |secret| {
        let key = secret
            .strip_prefix(SIGNING_SECRET)
            .and_then(|text| STANDARD.decode(text).ok());
        key.is_some_and(|key| {
            signatures
                .iter()
                .any(|signature| authenticated(&key, &signed, signature))
        })
    })
}

/// Compares digests, so that neither the time nor the length tells anything of the secret.
fn same(given: &str, secrets: &[&str]) -> Result<(), Refused> {
    let given = Sha256::digest(given);
    any(secrets, |secret| Sha256::digest(secret).ct_eq(&given).into())
}

fn any(secrets: &[&str], proves: impl Fn(&str) -> bool) -> Result<(), Refused> {
    if secrets.iter().any(|secret| proves(secret)) {
        Ok(())
    } else {
        Err(Refused::Wrong)
    }
}

fn authenticated(key: &[u8], parts: &[&[u8]], signature: &[u8; 32]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests;
