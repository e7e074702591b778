//! Scopes of tokens.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::Invalid;

/// Permission that a token grants within its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Permission to read builds, their logs and events, and the queue.
    #[serde(rename = "builds:read")]
    BuildsRead,
    /// Permission to create, cancel and rebuild builds.
    #[serde(rename = "builds:write")]
    BuildsWrite,
    /// Permission to upload contexts.
    #[serde(rename = "contexts:write")]
    ContextsWrite,
    /// Permission to read triggers and deliveries.
    #[serde(rename = "triggers:read")]
    TriggersRead,
    /// Permission to create, change, test and remove triggers, and to replay deliveries.
    #[serde(rename = "triggers:write")]
    TriggersWrite,
    /// Permission to create, change, test and remove webhook endpoints, and to send notifications again.
    #[serde(rename = "endpoints:write")]
    EndpointsWrite,
    /// All permissions above, and management of the project's tokens.
    #[serde(rename = "project:admin")]
    ProjectAdmin,
    /// All permissions, in every project.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 8] = [
        Self::BuildsRead,
        Self::BuildsWrite,
        Self::ContextsWrite,
        Self::TriggersRead,
        Self::TriggersWrite,
        Self::EndpointsWrite,
        Self::ProjectAdmin,
        Self::Admin,
    ];

    /// Returns the name used in JSON, on the command line and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuildsRead => "builds:read",
            Self::BuildsWrite => "builds:write",
            Self::ContextsWrite => "contexts:write",
            Self::TriggersRead => "triggers:read",
            Self::TriggersWrite => "triggers:write",
            Self::EndpointsWrite => "endpoints:write",
            Self::ProjectAdmin => "project:admin",
            Self::Admin => "admin",
        }
    }

    /// Returns true if this scope includes the permission `wanted`.
    pub fn gives(self, wanted: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::ProjectAdmin => wanted != Self::Admin,
            // Permission to write includes permission to read.
            Self::BuildsWrite => matches!(wanted, Self::BuildsWrite | Self::BuildsRead),
            Self::TriggersWrite => matches!(wanted, Self::TriggersWrite | Self::TriggersRead),
            own => own == wanted,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new(format!("must be one of {all}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_everywhere_in_the_same_way() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(
                serde_json::to_value(scope).expect("it can be written"),
                scope.as_str()
            );
        }
        assert!("builds".parse::<Scope>().is_err());
    }

    #[test]
    fn a_scope_gives_what_it_says_and_no_more() {
        for scope in Scope::ALL {
            assert!(scope.gives(scope));
            assert!(Scope::Admin.gives(scope));
            assert_eq!(Scope::ProjectAdmin.gives(scope), scope != Scope::Admin);
            assert!(!Scope::BuildsRead.gives(scope) || scope == Scope::BuildsRead);
        }
        assert!(Scope::BuildsWrite.gives(Scope::BuildsRead));
        assert!(!Scope::BuildsWrite.gives(Scope::ContextsWrite));
        assert!(!Scope::EndpointsWrite.gives(Scope::TriggersRead));
    }
}
