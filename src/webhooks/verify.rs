//! Verifies that the sender of a delivery has the trigger's secret, over the raw bytes and in constant time.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::provider::Provider;

/// Largest difference between a signed time and the present, in seconds (Standard Webhooks).
const TOLERANCE: i64 = 300;
/// Prefix of GitLab's secrets for signatures (Standard Webhooks); base64 follows.
const SIGNING_SECRET: &str = "whsec_";

/// A call to verify.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The call's headers.
    pub headers: &'a HeaderMap,
    /// The call's body, unchanged.
    pub body: &'a [u8],
    /// The secret in the call's address, for callers without signatures.
    pub secret_in_url: Option<&'a str>,
}

/// Reason why a delivery was refused. It is stored for the operator; the caller gets no details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The trigger has no secret, so nothing can be verified.
    #[error("the trigger has no secret")]
    NoSecret,
    /// The header with the signature or token is missing.
    #[error("it is not signed")]
    Unsigned,
    /// The header is repeated or malformed.
    #[error("its signature cannot be read")]
    Unreadable,
    /// The signature or token belongs to another secret or another body.
    #[error("its signature is wrong")]
    Wrong,
    /// The signature is too old, or its time lies in the future.
    #[error("the time of its signature is not now")]
    Stale,
}

/// Verifies a call with any of the secrets. A trigger has two secrets during a rotation.
///
/// # Errors
/// The reason of the refusal.
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
        // Forgejo also sends Gitea's header, which is ignored.
        Provider::Forgejo => signed(call, "x-forgejo-signature", "", &secrets),
        Provider::Gitlab => gitlab(call, &secrets, now),
        Provider::Dockerhub => same(call.secret_in_url.ok_or(Refused::Unsigned)?, &secrets),
    }
}

/// Returns the single value of a header.
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

/// Verifies a header that has the body's HMAC-SHA256 in hexadecimal digits after `prefix`.
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

/// Verifies a plain token or, with a secret for signatures, a signature of Standard Webhooks. The trigger's
/// secret determines the method, not the call.
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
        // Both methods count during a rotation between a token and a secret for signatures.
        return one(call.headers, "x-gitlab-token").and_then(|token| same(token, &tokens));
    }
    outcome
}

/// Verifies a signature of Standard Webhooks 1.0.0: `v1,<base64>` over `id.timestamp.body`. During a rotation
/// the header has several, separated by spaces.
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

/// Compares digests, so that neither the time nor the length reveals anything about the secret.
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
