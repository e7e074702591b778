//! Identifiers: UUIDv7, so that they sort by age and index well.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier, later in order than those made before it in this process.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id_type!(
    /// Names one build for ever. The Job of a build is called `build-<id>`.
    BuildId
);
id_type!(
    /// Names one uploaded build context.
    ContextId
);

impl BuildId {
    /// The name of the build's Job: deterministic, so that the API server itself admits at most one.
    pub fn job_name(self) -> String {
        format!("build-{self}")
    }

    /// The build that a Job of this name belongs to, if the name is one of ours.
    pub fn from_job_name(name: &str) -> Option<Self> {
        name.strip_prefix("build-")?.parse().ok()
    }
}
