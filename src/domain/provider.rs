//! Git hosts, and what else calls a trigger.

use std::{fmt, str::FromStr};

use super::text::Invalid;

/// Who sends a trigger's deliveries. It decides how they are verified and read: what a delivery says of itself does
/// not, since Gitea's bears GitHub's headers as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// github.com, and GitHub Enterprise.
    Github,
    /// gitlab.com, and one's own GitLab.
    Gitlab,
    /// Gitea.
    Gitea,
    /// Forgejo, as on codeberg.org.
    Forgejo,
    /// bitbucket.org.
    BitbucketCloud,
    /// Bitbucket Data Center.
    BitbucketDc,
    /// Anything that can sign a small JSON body.
    Generic,
    /// What calls a build trigger of Docker Hub's.
    Dockerhub,
}

impl Provider {
    /// Every one.
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

    /// As the API and the database write it.
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

    /// Whether commits there can bear a status.
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
