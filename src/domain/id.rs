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

            /// Takes the hyphenated form alone: one identifier has one address.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<uuid::fmt::Hyphenated>().map(|id| Self(id.into_uuid()))
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
id_type!(
    /// Names one endpoint: an address that is told of builds.
    EndpointId
);
id_type!(
    /// Names one token; no secret.
    TokenId
);

id_type!(
    /// Names one trigger: a part of the address that its git host calls.
    TriggerId
);
id_type!(
    /// Names one delivery to a trigger.
    DeliveryId
);

impl BuildId {
    /// The name of the build's Job: deterministic, so that the API server itself admits at most one.
    pub fn job_name(self) -> String {
        format!("build-{self}")
    }

    /// The build that a Job of this name belongs to, if the name is one of ours, letter for letter.
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
