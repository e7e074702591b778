//! Concurrency groups of a project, in which a new build may supersede the older ones.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Invalid,
    text::{plain, text_type},
};

text_type!(
    /// Name of a group of builds of a project that may supersede each other: at most 255 bytes.
    #[schema(example = "app/main", max_length = 255)]
    GroupName,
    check_group
);

fn check_group(text: &str) -> Result<(), Invalid> {
    plain(text, 255)
}

/// Older builds of its group that a new build supersedes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Supersede {
    /// No builds.
    None,
    /// Queued builds.
    #[default]
    Queued,
    /// Queued builds, and running builds that do not push yet.
    Running,
}

impl Supersede {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::None, Self::Queued, Self::Running];

    /// Returns the name used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Queued => "queued",
            Self::Running => "running",
        }
    }
}

impl FromStr for Supersede {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| Invalid::new("must be none, queued or running"))
    }
}

/// Concurrency group of a build, and the older builds in it that the build supersedes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// Name of the group, within the project.
    pub group: GroupName,
    /// Older builds of the group that end as `superseded` when this one is accepted.
    #[serde(default)]
    pub supersede: Supersede,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_bounded_text_and_what_waits_is_superseded_unless_said_otherwise() {
        let given: Concurrency = serde_json::from_str(r#"{"group": "app/main"}"#).expect("a group is enough");
        assert_eq!(given.supersede, Supersede::Queued);
        for group in ["", "a\0", &"x".repeat(256)] {
            assert!(group.parse::<GroupName>().is_err(), "{group:?}");
        }
        for mode in Supersede::ALL {
            assert_eq!(mode.as_str().parse::<Supersede>(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).expect("a name"), mode.as_str());
        }
    }
}
