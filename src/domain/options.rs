//! The parts of a request that become kaniko's options.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    image::ImageRepository,
    quantity::{Cpu, Memory},
    text::{Invalid, plain, text_type},
};

text_type!(
    /// The name of a build argument: a shell identifier, and none that would change how kaniko itself runs (`PATH`,
    /// `LD_*`, `KANIKO_*`, `DOCKER_CONFIG`, …).
    BuildArgName,
    check_build_arg
);
text_type!(
    /// The value of a build argument, label or annotation: at most 32 KiB, no NUL.
    Value,
    check_value
);
text_type!(
    /// The key of an image label or annotation: at most 253 bytes, without spaces, `=` and control characters.
    Key,
    check_key
);
text_type!(
    /// A stage of the Dockerfile, by name or number.
    #[schema(example = "release", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length = 128)]
    StageName,
    check_stage
);
text_type!(
    /// `os/architecture[/variant]`, such as `linux/arm64`.
    #[schema(example = "linux/arm64", pattern = "^[a-z0-9_-]+/[a-z0-9_-]+(/[a-z0-9_-]+)?$")]
    Platform,
    check_platform
);

/// Whether, where and how long kaniko caches layers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Whether layers are looked up in, and pushed to, the cache.
    pub enabled: bool,
    /// The repository that holds cached layers; kaniko infers `<destination>/cache` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<ImageRepository>,
    /// How long a cached layer is good for, in seconds; two weeks when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub ttl_seconds: Option<std::num::NonZeroU32>,
}

/// What the build's container may use; the operator's defaults where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// Names that would change how kaniko, its credential helpers, the dynamic linker or a shell itself behave. A build
/// argument is put into the environment of every `RUN` step, and kaniko reads some of them itself.
const RESERVED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "DOCKER_CONFIG",
    "DOCKER_AUTH_CONFIG",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "GODEBUG",
    "PWD",
];
/// Beginnings of such names.
const RESERVED_PREFIXES: [&str; 8] = [
    "LD_",
    "DYLD_",
    "KANIKO_",
    "FF_KANIKO_",
    "GIT_",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
];

fn check_build_arg(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(first) || !text.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Err(Invalid::new(
            "must be named with letters, digits and '_', not beginning with a digit",
        ));
    }
    if RESERVED.contains(&text) || RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Err(Invalid::new(
            "is reserved: it would change how the builder itself runs",
        ));
    }
    Ok(())
}

fn check_value(text: &str) -> Result<(), Invalid> {
    if text.len() > 32 * 1024 {
        return Err(Invalid::new("must be at most 32 KiB long"));
    }
    if text.contains('\0') {
        return Err(Invalid::new("must not contain NUL"));
    }
    Ok(())
}

fn check_key(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    if text.contains(|c: char| c == '=' || c.is_whitespace()) || text.starts_with('-') {
        return Err(Invalid::new(
            "must not contain '=' and spaces, nor begin with '-'",
        ));
    }
    Ok(())
}

fn check_stage(text: &str) -> Result<(), Invalid> {
    plain(text, 128)?;
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.chars().all(inside) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Invalid::new(
            "must be a stage's name or number: letters, digits, '-', '_' and '.'",
        ));
    }
    Ok(())
}

fn check_platform(text: &str) -> Result<(), Invalid> {
    plain(text, 64)?;
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
    };
    let parts: Vec<&str> = text.split('/').collect();
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(|p| part(p)) || text.starts_with('-') {
        return Err(Invalid::new(
            "must be os/architecture[/variant], such as linux/arm64",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arguments_cannot_steer_the_builder() {
        for name in ["VERSION", "_x", "http_proxy", "NODE_ENV"] {
            assert!(name.parse::<BuildArgName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "1A",
            "A-B",
            "A=B",
            "A B",
            "LD_PRELOAD",
            "BASH_ENV",
            "ENV",
            "PATH",
            "DOCKER_CONFIG",
            "DOCKER_AUTH_CONFIG",
            "KANIKO_DIR",
            "FF_KANIKO_X",
            "GIT_TOKEN",
            "A\0",
            "é",
        ] {
            assert!(name.parse::<BuildArgName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn values_and_keys_are_bounded() {
        assert!("any text; $(even this)\n".parse::<Value>().is_ok());
        assert!("a\0b".parse::<Value>().is_err());
        assert!("x".repeat(32 * 1024 + 1).parse::<Value>().is_err());
        assert!("org.opencontainers.image.source".parse::<Key>().is_ok());
        for key in ["", "a=b", "a b", "-x", "a\nb"] {
            assert!(key.parse::<Key>().is_err(), "{key:?}");
        }
    }

    #[test]
    fn stages_and_platforms() {
        for text in ["builder", "0", "stage-1"] {
            assert!(text.parse::<StageName>().is_ok(), "{text}");
        }
        for text in ["", "-x", "a b", "a/b", "--target=x"] {
            assert!(text.parse::<StageName>().is_err(), "{text}");
        }
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert!(text.parse::<Platform>().is_ok(), "{text}");
        }
        for text in [
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "Linux/amd64",
            "linux/amd64;id",
            "-a/b",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
