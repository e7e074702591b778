//! Git hosts and other senders of deliveries.

use std::{fmt, str::FromStr};

use super::text::Invalid;

/// Sender of a trigger's deliveries. The provider decides how they are verified and read; the headers do not,
/// because Gitea's deliveries have GitHub's headers, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// github.com and GitHub Enterprise.
    Github,
    /// gitlab.com and self-managed GitLab.
    Gitlab,
    /// Gitea.
    Gitea,
    /// Forgejo, as on codeberg.org.
    Forgejo,
    /// bitbucket.org.
    BitbucketCloud,
    /// Bitbucket Data Center.
    BitbucketDc,
    /// Any client that can sign a small JSON body.
    Generic,
    /// Clients that call a build trigger in Docker Hub's format.
    Dockerhub,
}

impl Provider {
    /// All providers.
    pub const ALL: [Self; 8] = [
        Self::Github,
        Self::Gitlab,
        Self::Gitea,
        Self::Forgejo,
        Self::BitbucketCloud,
        Self::BitbucketDc,
        Self::Generic,
        Self::Dockerhub,
    ];

    /// Returns the name used in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::BitbucketCloud => "bitbucket-cloud",
            Self::BitbucketDc => "bitbucket-dc",
            Self::Generic => "generic",
            Self::Dockerhub => "dockerhub",
        }
    }

    /// Returns true if the provider has commit statuses.
    pub const fn has_statuses(self) -> bool {
        !matches!(self, Self::Generic | Self::Dockerhub)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        found.ok_or_else(|| Invalid::new("is no provider that is known"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_and_the_api_write_the_same() {
        for provider in Provider::ALL {
            assert_eq!(
                serde_json::to_value(provider).expect("a provider is a word"),
                provider.as_str()
            );
            assert_eq!(provider.as_str().parse(), Ok(provider));
        }
        assert!("GitHub".parse::<Provider>().is_err());
    }
}
