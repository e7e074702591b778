//! What is asked for: the request as it arrives, and the spec that is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use sha2::{Digest as _, Sha256};

use super::{
    ImageReference, Invalid, ProjectName, Source,
    concurrency::Concurrency,
    options::{BuildArgName, Cache, Key, Platform, Resources, StageName, Value},
    path::RelativePath,
    secrets::BuildSecrets,
};

/// What to build, where to push it and within which limits: the body of a request, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    /// Who owns the build; `default` when absent.
    #[serde(default)]
    pub project: ProjectName,
    /// Where the context comes from.
    pub source: Source,
    /// The Dockerfile's path inside the context.
    #[serde(default = "default_dockerfile")]
    pub dockerfile: RelativePath,
    /// Where the image is pushed.
    pub destinations: Destinations,
    /// Build arguments, at most 256. They end up in the image's history: nothing secret belongs here.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub build_args: Bounded<BuildArgName>,
    /// Secrets that steps may read with `RUN --mount=type=secret`, by reference: their values are neither here nor in
    /// the image. Each must be settled for the project.
    #[serde(default, skip_serializing_if = "BuildSecrets::is_empty")]
    pub secrets: BuildSecrets,
    /// The stage to build; the last one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Labels put on the image, at most 256.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Bounded<Key>,
    /// The platform to build for; the node's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Layer caching.
    #[serde(default)]
    pub cache: Cache,
    /// From -100 to 100; higher goes first within its project.
    #[serde(default)]
    pub priority: Priority,
    /// How long one attempt may run, in seconds: 1 to 86,400.
    #[serde(default)]
    pub timeout_seconds: TimeoutSeconds,
    /// How many failed attempts are followed by another one: 0 to 10.
    #[serde(default)]
    pub max_retries: MaxRetries,
    /// What the build's container may use.
    #[serde(default)]
    pub resources: Resources,
    /// Builds of which the newest is enough: those of one group, within the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Free-form notes for the caller: kept and answered, never interpreted.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub annotations: Bounded<Key>,
}

impl BuildSpec {
    /// SHA-256 over the spec's canonical JSON: tells whether two requests ask for the same.
    pub fn fingerprint(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("a spec is made of maps with text keys, text and numbers");
        Sha256::digest(json).into()
    }
}

/// Texts by name: at most 256 of them, and 128 KiB in all, so that they fit a command line and a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bounded<K: Ord>(BTreeMap<K, Value>);

impl<K: Ord> Default for Bounded<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + AsRef<str>> TryFrom<BTreeMap<K, Value>> for Bounded<K> {
    type Error = Invalid;

    fn try_from(map: BTreeMap<K, Value>) -> Result<Self, Self::Error> {
        let bytes: usize = map
            .iter()
            .map(|(name, value)| name.as_ref().len() + value.as_str().len())
            .sum();
        if map.len() > 256 || bytes > 128 * 1024 {
            return Err(Invalid::new("must have at most 256 entries and 128 KiB in all"));
        }
        Ok(Self(map))
    }
}

impl<'de, K: Ord + AsRef<str> + Deserialize<'de>> Deserialize<'de> for Bounded<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

impl<K: Ord> Bounded<K> {
    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Value)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One to sixteen places to push to, none of them twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<ImageReference>", into = "Vec<ImageReference>")]
#[schema(value_type = Vec<ImageReference>, min_items = 1, max_items = 16)]
pub struct Destinations(Vec<ImageReference>);

impl Destinations {
    /// All of them, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = &ImageReference> {
        self.0.iter()
    }

    /// The first one, after whose repository the build is listed.
    pub fn first(&self) -> &ImageReference {
        &self.0[0]
    }
}

impl TryFrom<Vec<ImageReference>> for Destinations {
    type Error = Invalid;

    fn try_from(all: Vec<ImageReference>) -> Result<Self, Self::Error> {
        if all.is_empty() {
            return Err(Invalid::new("must name at least one destination"));
        }
        if all.len() > 16 {
            return Err(Invalid::new("must name at most 16 destinations"));
        }
        for (i, one) in all.iter().enumerate() {
            // `host/app` and `host/app:latest` are one place.
            let same =
                |other: &&ImageReference| other.repository() == one.repository() && other.tag() == one.tag();
            if all[..i].iter().any(|other| same(&other)) {
                return Err(Invalid::new(format_args!("names {one} twice")));
            }
        }
        Ok(Self(all))
    }
}

impl From<Destinations> for Vec<ImageReference> {
    fn from(destinations: Destinations) -> Self {
        destinations.0
    }
}

macro_rules! bounded_number {
    ($(#[$meta:meta])* $name:ident, $int:ty, $min:literal to $max:literal, $default:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name($int);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::Integer)
                    .minimum(Some(f64::from($min)))
                    .maximum(Some(f64::from($max)))
                    .default(Some(serde_json::json!($default)))
                    .into()
            }
        }

        impl ToSchema for $name {}

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;

            fn try_from(number: i64) -> Result<Self, Self::Error> {
                <$int>::try_from(number)
                    .ok()
                    .filter(|n| ($min..=$max).contains(n))
                    .map(Self)
                    .ok_or_else(|| Invalid::new(concat!("must be between ", $min, " and ", $max)))
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }
    };
}

bounded_number!(
    /// Which build of a project goes first: -100 to 100, higher first.
    Priority, i16, -100 to 100, 0
);
bounded_number!(
    /// Seconds that one attempt may run: 1 to 86,400.
    TimeoutSeconds, u32, 1 to 86_400, 3_600
);
bounded_number!(
    /// Failed attempts that are followed by another one: 0 to 10.
    MaxRetries, u32, 0 to 10, 3
);

pub(super) fn default_dockerfile() -> RelativePath {
    "Dockerfile"
        .parse()
        .expect("a plain file name is a relative path")
}

#[cfg(test)]
mod tests;
