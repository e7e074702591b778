//! Statuses of commits: how a build goes, told to the git host that its source came from.

use super::{
    Trigger, TriggerId, endpoint::CallbackUrl, git::CommitId, provider::Provider, text::Invalid,
    trigger::RuleName,
};

/// Where the status of a build is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusTarget {
    /// The kind of host.
    pub provider: Provider,
    /// The base of its API, such as `https://api.github.com`: see [`api_url`].
    pub api_url: CallbackUrl,
    /// As the host names it: `owner/name`; a project's full path on GitLab.
    pub repository: String,
    /// The commit's full id.
    pub commit: String,
    /// What the status is called; a later one of the same name replaces it. One per rule and repository, say.
    pub context: String,
    /// The trigger that made the build.
    pub trigger: TriggerId,
    /// The trigger's own token as it has it now, sealed with [`token_context`]; without one, the operator's for that host
    /// is taken.
    pub token: Option<Vec<u8>>,
}

/// Where a trigger's git host is told of its builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSettings {
    /// The base of its API.
    pub api_url: CallbackUrl,
    /// The trigger's own token, sealed with [`token_context`]; without one, the operator's for that host is taken.
    pub token: Option<Vec<u8>>,
}

/// What a trigger's token is sealed with. It opens for this address only: who changes where the host is told must know
/// the token.
pub fn token_context(trigger: TriggerId, api_url: &CallbackUrl) -> Vec<u8> {
    format!("status of trigger {trigger} at {api_url}").into_bytes()
}

impl StatusTarget {
    /// Where the status of a build is shown that a rule of this trigger makes of a commit; nowhere, where the trigger
    /// does not have it.
    pub fn of(trigger: &Trigger, rule: &RuleName, commit: &CommitId) -> Option<Self> {
        let settings = trigger.settings.commit_status.as_ref()?;
        Some(Self {
            provider: trigger.provider,
            api_url: settings.api_url.clone(),
            repository: trigger.settings.repository.to_string(),
            commit: commit.to_string(),
            // The host may have several projects here, whose rules are called alike.
            context: format!("slipway/{}/{rule}", trigger.project),
            trigger: trigger.id,
            token: settings.token.clone(),
        })
    }
}

/// The base of the API of the host that this address is cloned from; `None` for kinds that have no statuses.
///
/// # Errors
/// When the address is not http or https: such a host's API has to be named.
pub fn api_url(provider: Provider, clone_url: &str) -> Result<Option<CallbackUrl>, Invalid> {
    let url = url::Url::parse(clone_url).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| Invalid::new("says nothing of the host's API: name its address"))?;
    let origin = url.origin().ascii_serialization();
    let hosted = |host: &str| url.host_str() == Some(host);
    let api = match provider {
        Provider::Github if hosted("github.com") => "https://api.github.com".to_owned(),
        Provider::Github => format!("{origin}/api/v3"),
        Provider::Gitlab => format!("{origin}/api/v4"),
        Provider::Gitea | Provider::Forgejo => format!("{origin}/api/v1"),
        Provider::BitbucketCloud => "https://api.bitbucket.org/2.0".to_owned(),
        Provider::BitbucketDc => format!("{origin}/rest"),
        Provider::Generic | Provider::Dockerhub => return Ok(None),
    };
    api.parse().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_of_a_host_follows_from_its_kind_and_address() {
        for (provider, clone_url, api) in [
            (
                Provider::Github,
                "https://github.com/a/b.git",
                Some("https://api.github.com"),
            ),
            (
                Provider::Github,
                "https://ghe.example/a/b",
                Some("https://ghe.example/api/v3"),
            ),
            (
                Provider::Gitlab,
                "https://gitlab.com/a/b/c.git",
                Some("https://gitlab.com/api/v4"),
            ),
            (
                Provider::Gitea,
                "http://git.example:3000/a/b",
                Some("http://git.example:3000/api/v1"),
            ),
            (
                Provider::Forgejo,
                "https://codeberg.org/a/b",
                Some("https://codeberg.org/api/v1"),
            ),
            (
                Provider::BitbucketCloud,
                "https://bitbucket.org/a/b",
                Some("https://api.bitbucket.org/2.0"),
            ),
            (
                Provider::BitbucketDc,
                "https://bb.example/scm/a/b.git",
                Some("https://bb.example/rest"),
            ),
            (Provider::Generic, "https://git.example/a", None),
        ] {
            let found = api_url(provider, clone_url).expect(clone_url);
            assert_eq!(found.as_ref().map(CallbackUrl::as_str), api, "{clone_url}");
        }
        assert!(api_url(Provider::Gitea, "ssh://git@git.example/a/b").is_err());
    }
}
