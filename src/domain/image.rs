//! Image references that follow the grammar of the `distribution/reference` project.
//!
//! <https://github.com/distribution/reference/blob/main/reference.go>: here a registry host is mandatory,
//! because `team/app` would silently mean Docker Hub.

use super::text::{Invalid, plain, text_type};

/// Upper bound in bytes of a repository name, host included, that registries accept.
const MAX_NAME: usize = 255;

text_type!(
    /// Destination of an image: `host[:port]/path[:tag]`, with an explicit registry host and without a
    /// digest.
    #[schema(example = "registry.example.com/team/app:1.0", max_length = 384)]
    ImageReference,
    check_reference
);
text_type!(
    /// Repository without tag and digest: `host[:port]/path`.
    #[schema(example = "registry.example.com/team/app", max_length = 255)]
    ImageRepository,
    check_repository
);
text_type!(
    /// Digest of an image: `sha256:` and 64 hexadecimal digits.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    Digest,
    check_digest
);

impl ImageReference {
    /// Returns the repository part: everything before the tag.
    pub fn repository(&self) -> &str {
        split_tag(&self.0).0
    }

    /// Returns the tag; `latest` if none is written.
    pub fn tag(&self) -> &str {
        split_tag(&self.0).1.unwrap_or("latest")
    }

    /// Returns the registry's host, with its port if one is written. Compare it as a whole, never by prefix.
    pub fn registry(&self) -> &str {
        registry(&self.0)
    }

    /// Returns the reference with an explicit tag, as kaniko receives it, so that a push does not depend on a
    /// default.
    pub fn with_tag(&self) -> String {
        format!("{}:{}", self.repository(), self.tag())
    }
}

impl ImageRepository {
    /// Returns the registry's host, with its port if one is written. Compare it as a whole, never by prefix.
    pub fn registry(&self) -> &str {
        registry(&self.0)
    }
}

fn registry(text: &str) -> &str {
    text.split_once('/').map_or(text, |(host, _)| host)
}

/// Splits a reference into repository and tag. A colon after the last slash begins the tag; an earlier one
/// belongs to the host's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (text, None),
    }
}

fn check_reference(text: &str) -> Result<(), Invalid> {
    plain(text, MAX_NAME + 129)?;
    if text.contains('@') {
        return Err(Invalid::new(
            "must not contain '@': neither a digest nor user info belongs here",
        ));
    }
    let (name, tag) = split_tag(text);
    check_name(name)?;
    tag.map_or(Ok(()), check_tag)
}

fn check_repository(text: &str) -> Result<(), Invalid> {
    plain(text, MAX_NAME)?;
    let (_, tag) = split_tag(text);
    if tag.is_some() || text.contains('@') {
        return Err(Invalid::new("must be a repository, without tag and digest"));
    }
    check_name(text)
}

fn check_name(name: &str) -> Result<(), Invalid> {
    if name.len() > MAX_NAME {
        return Err(Invalid::new(format_args!(
            "must have a repository name of at most {MAX_NAME} bytes"
        )));
    }
    let (host, path) = name
        .split_once('/')
        .ok_or_else(|| Invalid::new("must name its registry, as in registry.example.com/team/app:tag"))?;
    check_registry(host)?;
    if path.len() < 2 {
        // go-containerregistry has this rule: kaniko would refuse the reference, but only after it has
        // fetched everything.
        return Err(Invalid::new(
            "must have a path of at least 2 characters after its registry",
        ));
    }
    check_path(path)
}

/// Checks the components of a repository's path.
pub(super) fn check_path(path: &str) -> Result<(), Invalid> {
    path.split('/').try_for_each(check_path_component)
}

/// Checks a registry's host, with an optional port.
pub(super) fn check_registry(host: &str) -> Result<(), Invalid> {
    // The brackets separate the colons of an IPv6 address from the port's.
    if let Some(rest) = host.strip_prefix('[') {
        let (address, after) = rest
            .split_once(']')
            .ok_or_else(|| Invalid::new("has an address with '[' and without ']'"))?;
        check_ipv6(address)?;
        return match after.strip_prefix(':') {
            Some(port) => check_port(port),
            None if after.is_empty() => Ok(()),
            None => Err(Invalid::new("has something other than a port after ']'")),
        };
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    port.map_or(Ok(()), check_port)?;
    check_domain(name, port.is_some())
}

fn check_port(port: &str) -> Result<(), Invalid> {
    if port.starts_with(['0', '+']) || port.parse::<u16>().is_err() {
        return Err(Invalid::new(
            "has a registry port that is no number from 1 to 65535",
        ));
    }
    Ok(())
}

fn check_ipv6(address: &str) -> Result<(), Invalid> {
    // The grammar allows only hexadecimal digits and colons: no zone, no IPv4 address at the end.
    if address.contains('.') || address.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(Invalid::new("has no valid IPv6 address in brackets"));
    }
    Ok(())
}

fn check_domain(name: &str, has_port: bool) -> Result<(), Invalid> {
    if !name.split('.').all(is_domain_label) {
        return Err(Invalid::new(format_args!("has no valid registry host: {name:?}")));
    }
    // Docker's rule to distinguish a registry from a Docker Hub namespace.
    if !has_port && !name.contains('.') && name != "localhost" {
        return Err(Invalid::new(format_args!(
            "must name its registry: {name:?} is none (write a dot or a port, as in registry.example.com or {name}:5000)"
        )));
    }
    Ok(())
}

fn is_domain_label(label: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !label.is_empty()
        && label.len() <= 63
        && label.chars().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Checks a path component against `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn check_path_component(component: &str) -> Result<(), Invalid> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bad = || {
        Invalid::new(format_args!(
            "has a bad path component {component:?}: a-z and 0-9, separated by '.', '_', '__' or '-'"
        ))
    };
    if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
        return Err(bad());
    }
    let separators = component.split(alphanumeric).filter(|run| !run.is_empty());
    for run in separators {
        if !matches!(run, "." | "_" | "__") && !run.bytes().all(|b| b == b'-') {
            return Err(bad());
        }
    }
    Ok(())
}

/// Checks a tag against `[\w][\w.-]{0,127}`.
pub(super) fn check_tag(tag: &str) -> Result<(), Invalid> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.is_empty()
        || tag.len() > 128
        || !tag.starts_with(word)
        || !tag.chars().all(|c| word(c) || c == '.' || c == '-')
    {
        return Err(Invalid::new(
            "has a bad tag: at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
        ));
    }
    Ok(())
}

fn check_digest(text: &str) -> Result<(), Invalid> {
    let hex = text
        .strip_prefix("sha256:")
        .ok_or_else(|| Invalid::new("must begin with 'sha256:'"))?;
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Invalid::new(
            "must have 64 lower-case hexadecimal digits after 'sha256:'",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
