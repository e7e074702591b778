//! Addresses from which a build fetches.
//!
//! Every program on the way must interpret an address equally: this service, Go's parser in kaniko, the HTTP
//! client below it. So nothing is repaired here; an address that a parser would interpret differently from
//! its text is refused.
//!
//! Literal addresses that no git host or archive server has (link-local ones with the clouds' metadata
//! service among them) are refused as well. That does not protect the inside of a network: names are resolved
//! in the build's pod, so only a network policy can restrict what a build may reach.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::text::{Invalid, plain};

/// Parses an address in its plain form: one of the `schemes`, a host, no user info, no fragment, and nothing
/// that the parser would have to repair.
pub(super) fn parse(text: &str, schemes: &[&str]) -> Result<Url, Invalid> {
    plain(text, 2048)?;
    let expected = || Invalid::new(format_args!("must begin with {}://", schemes.join(":// or ")));
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    if !schemes.contains(&scheme) {
        return Err(expected());
    }
    check_characters(rest)?;
    let (before_query, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    if authority.contains('@') {
        return Err(Invalid::new(
            "must not contain user info; credentials are given by reference",
        ));
    }
    if authority.is_empty() {
        return Err(Invalid::new("must name a host"));
    }
    let url = Url::parse(text).map_err(|error| Invalid::new(format_args!("is no valid address: {error}")))?;
    check_host(&url, authority)?;
    check_path(path)?;
    Ok(url)
}

/// Checks that a text is printable ASCII, without the characters that parsers treat differently.
pub(super) fn check_characters(rest: &str) -> Result<(), Invalid> {
    if rest.contains('#') {
        return Err(Invalid::new("must not have a fragment ('#')"));
    }
    if let Some(c) = rest
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\\\"<>^`{|}".contains(*c))
    {
        return Err(Invalid::new(format_args!(
            "must not contain {c:?}, unless percent-encoded"
        )));
    }
    let mut after_percent = rest.split('%').skip(1);
    let escapes = |part: &str| {
        part.as_bytes()
            .get(..2)
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !after_percent.all(escapes) {
        return Err(Invalid::new("must have two hexadecimal digits after each '%'"));
    }
    Ok(())
}

/// Checks that the parsed host equals the written one: `2130706433`, `0x7f.1` and `127.1` are names to one
/// program and addresses to another.
fn check_host(url: &Url, authority: &str) -> Result<(), Invalid> {
    let (written, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.starts_with('0') || port.parse::<u16>().is_err() || port.starts_with('+'))
    {
        return Err(Invalid::new("must have a port from 1 to 65535, or none"));
    }
    let host = url.host().ok_or_else(|| Invalid::new("must name a host"))?;
    let same = match &host {
        Host::Ipv6(address) => written
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<Ipv6Addr>()
            .is_ok_and(|read| read == *address),
        Host::Ipv4(address) => written == address.to_string(),
        Host::Domain(name) => written.eq_ignore_ascii_case(name) && is_domain(written),
    };
    if !same {
        return Err(Invalid::new(format_args!(
            "must write its host plainly, not as {written:?}"
        )));
    }
    let pointless = match host {
        Host::Ipv4(address) => is_pointless_v4(address),
        Host::Ipv6(address) => is_pointless_v6(address),
        Host::Domain(_) => written.parse::<Ipv4Addr>().is_ok_and(is_pointless_v4),
    };
    if pointless {
        return Err(Invalid::new(format_args!(
            "must not fetch from the address {written}"
        )));
    }
    Ok(())
}

/// Returns true for labels of letters, digits, `-` and `_` between dots, as in DNS. The last label must not
/// be a number, because resolvers and parsers treat such names as addresses. A plain IPv4 address is
/// accepted, too; the caller checks it.
fn is_domain(name: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(inside)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) || part.starts_with("0x");
    name.len() <= 253 && labels.split('.').all(label) && !labels.rsplit('.').next().is_some_and(numeric)
        || labels.parse::<Ipv4Addr>().is_ok()
}

fn is_pointless_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || address.is_unspecified() || address.is_broadcast() || address.is_multicast()
}

/// Returns true for addresses that no build needs. An IPv4 address embedded in an IPv6 one (mapped,
/// compatible, NAT64, 6to4) is always a detour.
fn is_pointless_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embeds_v4 = address.to_ipv4_mapped().is_some()
        || segments[..6] == [0; 6] && !address.is_loopback()
        || segments[..2] == [0x64, 0xff9b]
        || segments[0] == 0x2002;
    // The clouds' metadata service over IPv6.
    let metadata = segments == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];
    embeds_v4
        || metadata
        || address.is_unicast_link_local()
        || address.is_unspecified()
        || address.is_multicast()
}

/// Checks that a path never leads upwards, even if a program decodes percent signs first, and has no empty
/// part: kaniko cuts a context at a second `://`.
pub(super) fn check_path(path: &str) -> Result<(), Invalid> {
    let lower = path.to_ascii_lowercase();
    if (0..0x20_u8)
        .chain([0x7f])
        .any(|byte| lower.contains(&format!("%{byte:02x}")))
        || ["%2f", "%5c", "%23", "%3f"]
            .iter()
            .any(|escape| lower.contains(escape))
    {
        return Err(Invalid::new(
            "must not have percent-encoded slashes, '#', '?' or control characters in its path",
        ));
    }
    let dots = |part: &str| matches!(part.replace("%2e", ".").as_str(), "." | "..");
    if lower.split('/').any(dots) {
        return Err(Invalid::new("must not contain '.' or '..' as a part of its path"));
    }
    if path.starts_with('/') || path.contains("//") {
        return Err(Invalid::new("must not contain '//' in its path"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
