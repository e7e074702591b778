//! Identifiers: UUIDv7, which sort by age and index well.

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
            /// Generates an identifier that sorts after those generated before it in this process.
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

            /// Parses the hyphenated form only, so that one identifier has one address.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<uuid::fmt::Hyphenated>().map(|id| Self(id.into_uuid()))
            }
        }
    };
}

id_type!(
    /// Identifier of a build; it never changes. The Job of a build is named `build-<id>`.
    BuildId
);
id_type!(
    /// Identifier of an uploaded build context.
    ContextId
);
id_type!(
    /// Identifier of a webhook endpoint.
    EndpointId
);
id_type!(
    /// Identifier of a token; it is not secret.
    TokenId
);

id_type!(
    /// Identifier of a trigger; it is part of the address that the git host calls.
    TriggerId
);
id_type!(
    /// Identifier of a delivery to a trigger.
    DeliveryId
);

impl BuildId {
    /// Returns the name of the build's Job. The name is deterministic, so that the API server admits at most
    /// one Job.
    pub fn job_name(self) -> String {
        format!("build-{self}")
    }

    /// Returns the build that owns the Job of this name; `None` unless the name equals [`Self::job_name`]
    /// exactly.
    pub fn from_job_name(name: &str) -> Option<Self> {
        let id: Self = name.strip_prefix("build-")?.parse().ok()?;
        (id.job_name() == name).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_job_is_named_after_its_build_and_found_by_its_name() {
        let id: BuildId = TEXT.parse().expect("a valid identifier");
        assert_eq!(id.job_name(), format!("build-{TEXT}"));
        assert_eq!(BuildId::from_job_name(&id.job_name()), Some(id));
        assert!(
            id.job_name().len() <= 63,
            "a Job's name becomes a label of its pods"
        );
        for name in [
            TEXT.to_owned(),
            format!("build-{}", TEXT.to_uppercase()),
            format!("build-{}", TEXT.replace('-', "")),
            format!("build-{TEXT}-x"),
            format!("build-build-{TEXT}"),
            "build-".to_owned(),
        ] {
            assert_eq!(BuildId::from_job_name(&name), None, "{name}");
        }
    }

    #[test]
    fn an_identifier_has_one_form() {
        assert_eq!(
            TEXT.parse::<ContextId>().expect("a valid identifier").to_string(),
            TEXT
        );
        for text in [
            "",
            "1",
            "../x",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            &TEXT.replace('-', ""),
        ] {
            assert!(text.parse::<ContextId>().is_err(), "{text}");
        }
        assert!(format!("urn:uuid:{TEXT}").parse::<BuildId>().is_err());
    }

    #[test]
    fn later_identifiers_sort_later() {
        let ids: Vec<_> = (0..100).map(|_| BuildId::generate()).collect();
        assert!(ids.is_sorted());
    }
}
