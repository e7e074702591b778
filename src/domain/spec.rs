//! Specs of builds: the request as it arrives, and the spec that is stored.

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

/// Request for a build: the source, the destinations and the limits. The same structure is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildSpec {
    /// Project that owns the build; `default` if absent.
    #[serde(default)]
    pub project: ProjectName,
    /// Source of the context.
    pub source: Source,
    /// The Dockerfile's path inside the context.
    #[serde(default = "default_dockerfile")]
    pub dockerfile: RelativePath,
    /// Destinations that the image is pushed to.
    pub destinations: Destinations,
    /// Build arguments, at most 256. The image's history contains them: do not put secrets here.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub build_args: Bounded<BuildArgName>,
    /// Secrets that steps may read with `RUN --mount=type=secret`, by reference: neither the request nor the
    /// image contains their values. The project's settings must allow each of them.
    #[serde(default, skip_serializing_if = "BuildSecrets::is_empty")]
    pub secrets: BuildSecrets,
    /// The stage to build; the last one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Labels put on the image, at most 256.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Bounded<Key>,
    /// The platform to build for; the node's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Layer caching.
    #[serde(default)]
    pub cache: Cache,
    /// Priority within the project: -100 to 100; builds with a higher one start first.
    #[serde(default)]
    pub priority: Priority,
    /// Upper bound of the duration of one attempt, in seconds: 1 to 86,400.
    #[serde(default)]
    pub timeout_seconds: TimeoutSeconds,
    /// Upper bound of retries after failed attempts: 0 to 10.
    #[serde(default)]
    pub max_retries: MaxRetries,
    /// Resources of the build's container.
    #[serde(default)]
    pub resources: Resources,
    /// Concurrency group, in which a newer build of the project may supersede this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Free-form notes of the caller: stored and returned, never interpreted.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub annotations: Bounded<Key>,
}

impl BuildSpec {
    /// Returns the SHA-256 over the spec's canonical JSON, which is equal for equal requests.
    pub fn fingerprint(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("a spec is made of maps with text keys, text and numbers");
        Sha256::digest(json).into()
    }
}

/// Map of names to texts: at most 256 entries and 128 KiB in total, so that they fit a command line and a
/// row.
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
    /// Returns all entries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Value)> {
        self.0.iter()
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// List of 1 to 16 destinations without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<ImageReference>", into = "Vec<ImageReference>")]
#[schema(value_type = Vec<ImageReference>, min_items = 1, max_items = 16)]
pub struct Destinations(Vec<ImageReference>);

impl Destinations {
    /// Returns all destinations, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = &ImageReference> {
        self.0.iter()
    }

    /// Returns the first destination, whose repository represents the build in lists.
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
            // `host/app` and `host/app:latest` are the same destination.
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
            /// Returns the number.
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
    /// Priority of a build within its project: -100 to 100; builds with a higher one start first.
    Priority, i16, -100 to 100, 0
);
bounded_number!(
    /// Upper bound of the duration of one attempt, in seconds: 1 to 86,400.
    TimeoutSeconds, u32, 1 to 86_400, 3_600
);
bounded_number!(
    /// Upper bound of retries after failed attempts: 0 to 10.
    MaxRetries, u32, 0 to 10, 3
);

pub(super) fn default_dockerfile() -> RelativePath {
    "Dockerfile"
        .parse()
        .expect("a plain file name is a relative path")
}

#[cfg(test)]
mod tests;
