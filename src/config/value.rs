//! Parses single settings.

use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Toleration;
use secrecy::SecretString;

use crate::domain::quantity::Memory;

/// Parses a length of time such as `500ms`, `20s`, `10m` or `1h 30m`; more than zero, at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let hint = "write a length of time such as 20s, 10m or 1h 30m";
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| hint.to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() {
        return Err("must be more than nothing".to_owned());
    }
    if duration > Duration::from_secs(366 * 86_400) {
        return Err("must be at most a year".to_owned());
    }
    Ok(duration)
}

/// Longest time that can be counted; a longer one is written as `forever`.
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// Time for which something is kept; `None` stands for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep(pub Option<Duration>);

/// Parses a length of time, or `forever`.
pub(super) fn keep(text: &str) -> Result<Keep, String> {
    match text {
        "forever" => Ok(Keep(None)),
        _ => time(text)
            .map(|time| Keep(Some(time)))
            .map_err(|error| format!("{error}, or `forever`")),
    }
}

/// Parses a length of time in which a day has 24 hours, such as `90d`, `2w` or `12h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let hint = "write a length of time such as 90d, 2w or 12h";
    let span: jiff::Span = text.parse().map_err(|_| hint.to_owned())?;
    let time = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| hint.to_owned())?;
    match Duration::try_from(time) {
        Ok(time) if !time.is_zero() && time <= CENTURY => Ok(time),
        _ => Err(format!("{hint}, more than nothing and at most 36500d")),
    }
}

/// Parses a number of bytes such as `512Mi` or `2G`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let memory: Memory = text
        .parse()
        .map_err(|_| "write an amount of bytes such as 512Mi or 2G".to_owned())?;
    Ok(memory.bytes())
}

/// Parses the length of a line in bytes: from 1Ki to 1Mi.
pub(super) fn line_length(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?)
        .ok()
        .filter(|length| (1 << 10..=1 << 20).contains(length))
        .ok_or_else(|| "must be from 1Ki to 1Mi".to_owned())
}

/// Parses the size of a delivery: from 64Ki to 32Mi, since memory holds each one while it is processed.
pub(super) fn delivery_size(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?)
        .ok()
        .filter(|size| (64 << 10..=32 << 20).contains(size))
        .ok_or_else(|| "must be from 64Ki to 32Mi".to_owned())
}

/// Wraps a setting that is never shown.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of its parsers")]
pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.to_owned()))
}

/// Parses a Postgres address, which is never shown, since it may hold a password.
pub(super) fn database_url(text: &str) -> Result<SecretString, String> {
    let known = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if !known {
        return Err("write postgres://user:password@host:port/database".to_owned());
    }
    url::Url::parse(text).map_err(|error| format!("is no address: {error}"))?;
    secret(text)
}

/// Parses an address, or a network in CIDR notation.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok();
    network
        .or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
        .ok_or_else(|| "write an address such as 10.0.0.7, or a network such as 10.0.0.0/8".to_owned())
}

/// Parses an origin as browsers send it: a scheme, a host, and a port unless it is the scheme's default.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    let hint = || "write an origin such as https://ci.example.com or http://localhost:3000".to_owned();
    let url = url::Url::parse(text).map_err(|_| hint())?;
    let origin = url.origin().ascii_serialization();
    if !matches!(url.scheme(), "http" | "https") || origin != text.trim_end_matches('/') {
        return Err(hint());
    }
    HeaderValue::try_from(origin).map_err(|_| hint())
}

/// Parses `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Parses `KEY[=VALUE][:EFFECT]`; without a value, any value of the taint is tolerated.
pub(super) fn toleration(text: &str) -> Result<Toleration, String> {
    let (taint, effect) = match text.split_once(':') {
        Some((taint, effect)) => (taint, Some(effect)),
        None => (text, None),
    };
    if effect.is_some_and(|effect| !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)) {
        return Err("an effect is NoSchedule, PreferNoSchedule or NoExecute".to_owned());
    }
    let (key, value) = match taint.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (taint, None),
    };
    if key.is_empty() {
        return Err("write KEY[=VALUE][:EFFECT]".to_owned());
    }
    Ok(Toleration {
        key: Some(key.to_owned()),
        operator: Some(if value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
        ..Toleration::default()
    })
}
