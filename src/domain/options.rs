//! Parts of a request that become kaniko's options.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    image::ImageRepository,
    quantity::{Cpu, Memory},
    text::{Invalid, plain, text_type},
};

text_type!(
    /// Name of a build argument: a shell identifier, except the names that would change how kaniko or a
    /// Dockerfile's commands run (`PATH`, `LD_*`, `KANIKO_*`, `DOCKER_CONFIG`, …).
    #[schema(example = "VERSION", pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 253)]
    BuildArgName,
    check_build_arg
);
text_type!(
    /// Value of a build argument, label or annotation: at most 32 KiB, no NUL.
    #[schema(max_length = 32768)]
    Value,
    check_value
);
text_type!(
    /// Key of an image label or annotation: at most 253 bytes, without spaces, `=` and control characters.
    #[schema(example = "org.opencontainers.image.source", max_length = 253)]
    Key,
    check_key
);
text_type!(
    /// Name of a stage of the Dockerfile: kaniko finds no stage by number, and a comma separates two names.
    #[schema(example = "release", pattern = "^[A-Za-z][A-Za-z0-9._-]*$", max_length = 128)]
    StageName,
    check_stage
);
text_type!(
    /// Platform as `os/architecture[/variant]`, such as `linux/arm64`.
    #[schema(example = "linux/arm64", pattern = "^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)?$", max_length = 64)]
    Platform,
    check_platform
);

/// Settings for kaniko's layer cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// `true` if kaniko looks layers up in the cache and pushes them to it.
    pub enabled: bool,
    /// Repository of the cached layers; kaniko infers `<destination>/cache` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<ImageRepository>,
    /// Lifetime of a cached layer in seconds; two weeks if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub ttl_seconds: Option<std::num::NonZeroU32>,
}

/// Resources of the build's container; the operator's defaults if absent.
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

/// Names that a build argument must not have. kaniko puts build arguments into the environment of every `RUN`
/// step, so they must not change what the Dockerfile's own commands do: no loader, shell or git settings.
const STEERS_COMMANDS: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "PWD",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "GIT_ASKPASS",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GODEBUG",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];
/// Names that kaniko and its credential helpers read. A build argument with such a name is a mistake: it
/// would have no effect on kaniko, but its value would be in the image's history.
const CONFIGURES_KANIKO: [&str; 15] = [
    "DOCKER_CONFIG",
    "DOCKER_AUTH_CONFIG",
    "GIT_TOKEN",
    "GIT_USERNAME",
    "GIT_PASSWORD",
    "GIT_PULL_METHOD",
    "S3_ENDPOINT",
    "S3_FORCE_PATH_STYLE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_APPLICATION_CREDENTIALS",
];
/// Prefixes of names of either kind. `GIT_` is not one of them: names such as `GIT_COMMIT` are legitimate
/// build arguments.
const RESERVED_PREFIXES: [&str; 7] = [
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "GIT_CONFIG",
    "GIT_SSH",
    "KANIKO_",
    "FF_KANIKO_",
];

fn check_build_arg(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(first) || !text.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Err(Invalid::new(
            "must be named with letters, digits and '_', not beginning with a digit",
        ));
    }
    if STEERS_COMMANDS.contains(&text)
        || CONFIGURES_KANIKO.contains(&text)
        || RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
    {
        return Err(Invalid::new(
            "is reserved: it would change how the builder or its commands run",
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
    if !text.chars().all(inside) || !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(Invalid::new(
            "must be a stage's name: a letter, then letters, digits, '-', '_' and '.'",
        ));
    }
    Ok(())
}

fn check_platform(text: &str) -> Result<(), Invalid> {
    plain(text, 64)?;
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
    };
    let parts: Vec<&str> = text.split('/').collect();
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(|p| part(p)) {
        return Err(Invalid::new(
            "must be os/architecture[/variant], such as linux/arm64",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
