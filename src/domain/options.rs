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
    StageName,
    check_stage
);
text_type!(
    /// `os/architecture[/variant]`, such as `linux/arm64`.
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
    #[schema(minimum = 1)]
    pub ttl_seconds: Option<u32>,
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

fn check_build_arg(text: &str) -> Result<(), Invalid> {
    plain(text, 253)
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
    plain(text, 253)
}

fn check_stage(text: &str) -> Result<(), Invalid> {
    plain(text, 128)
}

fn check_platform(text: &str) -> Result<(), Invalid> {
    plain(text, 64)
}
