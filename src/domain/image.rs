//! Image references by the grammar of the `distribution/reference` project.
//!
//! <https://github.com/distribution/reference/blob/main/reference.go>: a registry host must be written here, since
//! `team/app` would silently mean Docker Hub.

use super::text::{Invalid, plain, text_type};

/// The longest repository name, host included, that registries accept.
const MAX_NAME: usize = 255;

text_type!(
    /// Where an image is pushed: `host[:port]/path[:tag]`, with an explicit registry host and without a digest.
    #[schema(example = "registry.example.com/team/app:1.0", max_length = 384)]
    ImageReference,
    check_reference
);
text_type!(
    /// A repository without tag and digest: `host[:port]/path`.
    #[schema(example = "registry.example.com/team/app", max_length = 255)]
    ImageRepository,
    check_repository
);
text_type!(
    /// An image's digest: `sha256:` and 64 hexadecimal digits.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    Digest,
    check_digest
);

impl ImageReference {
    /// The repository part: everything before the tag.
    pub fn repository(&self) -> &str {
        split_tag(&self.0).0
    }

    /// The tag; `latest` where none is written.
    pub fn tag(&self) -> &str {
        split_tag(&self.0).1.unwrap_or("latest")
    }

    /// The registry's host, with its port if one is written. Compare it whole, never by prefix.
    pub fn registry(&self) -> &str {
        registry(&self.0)
    }
}

impl ImageRepository {
    /// The registry's host, with its port if one is written. Compare it whole, never by prefix.
    pub fn registry(&self) -> &str {
        registry(&self.0)
    }
}

fn registry(text: &str) -> &str {
    text.split_once('/').map_or(text, |(host, _)| host)
}

/// A colon after the last slash begins the tag; an earlier one is the host's port.
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
    check_host(host)?;
    for component in path.split('/') {
        check_path_component(component)?;
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), Invalid> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest
                .split_once(']')
                .ok_or_else(|| Invalid::new("has an address with '[' and without ']'"))?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| Invalid::new("has no valid IPv6 address in brackets"))?;
            (
                None,
                port.strip_prefix(':')
                    .or(if port.is_empty() { None } else { Some("x") }),
            )
        }
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    if port.is_some_and(|port| {
        port.parse::<u16>().map_or(true, |n| n == 0) || !port.bytes().all(|b| b.is_ascii_digit())
    }) {
        return Err(Invalid::new(
            "has a registry port that is no number from 1 to 65535",
        ));
    }
    let Some(name) = name else { return Ok(()) };
    if !name.split('.').all(is_domain_label) {
        return Err(Invalid::new(format_args!("has no valid registry host: {name:?}")));
    }
    // The rule by which docker tells a registry from a Docker Hub namespace.
    if port.is_none() && !name.contains('.') && name != "localhost" {
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

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
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

/// `[\w][\w.-]{0,127}`
fn check_tag(tag: &str) -> Result<(), Invalid> {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_references_apart() {
        for (text, registry, repository, tag) in [
            (
                "registry.example.com/team/app:1.0",
                "registry.example.com",
                "registry.example.com/team/app",
                "1.0",
            ),
            (
                "127.0.0.1:5000/app",
                "127.0.0.1:5000",
                "127.0.0.1:5000/app",
                "latest",
            ),
            (
                "localhost/a__b/c--d.e",
                "localhost",
                "localhost/a__b/c--d.e",
                "latest",
            ),
            ("registry:5000/x:_y", "registry:5000", "registry:5000/x", "_y"),
            ("[::1]:5000/app:v1", "[::1]:5000", "[::1]:5000/app", "v1"),
            (
                "REGISTRY.example.com/app:X",
                "REGISTRY.example.com",
                "REGISTRY.example.com/app",
                "X",
            ),
        ] {
            let reference: ImageReference = text.parse().expect(text);
            assert_eq!(
                (reference.registry(), reference.repository(), reference.tag()),
                (registry, repository, tag)
            );
        }
    }

    #[test]
    fn refuses_what_is_no_destination() {
        for text in [
            "",
            "app",
            "app:1",
            "team/app",
            "registry.example.com",
            "registry.example.com/",
            "registry.example.com//app",
            "registry.example.com@evil.org/app",
            "user:secret@registry.example.com/app",
            "registry.example.com/App",
            "registry.example.com/app:",
            "registry.example.com/app:.x",
            "registry.example.com/app:a b",
            "registry.example.com/-app",
            "registry.example.com/a___b",
            "registry.example.com/a..b",
            "registry.example.com/../app",
            "-x.example.com/app",
            "registry.example.com:0/app",
            "registry.example.com:99999/app",
            "registry.example.com:+80/app",
            "registry..com/app",
            "[::1/app",
            "[x]/app",
            "[::1]80/app",
            "https://registry.example.com/app",
            "registry.example.com/app\0",
            "registry.example.com/app\n",
            "registry.example.com/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?}");
        }
        assert!(
            format!("r.io/{}", "a".repeat(260))
                .parse::<ImageReference>()
                .is_err()
        );
        assert!(
            format!("r.io/a:{}", "a".repeat(129))
                .parse::<ImageReference>()
                .is_err()
        );
    }

    #[test]
    fn a_repository_has_no_tag() {
        assert!("r.io:5000/cache".parse::<ImageRepository>().is_ok());
        for text in ["r.io/cache:1", "r.io/cache@sha256:0", "cache", ""] {
            assert!(text.parse::<ImageRepository>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_that_only_begins_like_another_is_another() {
        let reference: ImageReference = "registry.example.com.evil.org/app"
            .parse()
            .expect("a valid reference");
        assert_ne!(reference.registry(), "registry.example.com");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_can_be_put_together_again(text in "[a-zA-Z0-9.:/_@\\[\\]-]{0,60}") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                let tag = split_tag(&text).1.map(|tag| format!(":{tag}")).unwrap_or_default();
                prop_assert_eq!(format!("{}{tag}", reference.repository()), text.clone());
                prop_assert!(text.starts_with(reference.registry()));
                prop_assert!(!reference.registry().is_empty());
            }
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = text.parse::<ImageReference>();
            let _ = text.parse::<ImageRepository>();
            let _ = text.parse::<Digest>();
        }
    }
}
