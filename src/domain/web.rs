//! Addresses that a build fetches from.

use url::Url;

use super::text::{Invalid, plain};

/// Parses an address that is written just as it is meant: one of the `schemes`, a host, no user info, no fragment,
/// and nothing that the parser would have to mend.
pub(super) fn parse(text: &str, schemes: &[&str]) -> Result<Url, Invalid> {
    plain(text, 2048)?;
    let expected = || Invalid::new(format_args!("must begin with {}://", schemes.join(":// or ")));
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    if !schemes.contains(&scheme) {
        return Err(expected());
    }
    if text.contains(|c: char| c.is_whitespace() || c == '\\') {
        return Err(Invalid::new("must not contain spaces and backslashes"));
    }
    if text.contains('#') {
        return Err(Invalid::new("must not have a fragment ('#')"));
    }
    let url = Url::parse(text).map_err(|error| Invalid::new(format_args!("is no valid address: {error}")))?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new(
            "must not contain user info; credentials are given by reference",
        ));
    }
    if authority.is_empty() || url.host_str().is_none_or(str::is_empty) {
        return Err(Invalid::new("must name a host"));
    }
    let path = rest.split('?').next().unwrap_or_default();
    let dots = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').skip(1).any(dots) {
        return Err(Invalid::new("must not contain '.' or '..' as a part of its path"));
    }
    Ok(url)
}
