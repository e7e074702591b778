//! Commit statuses: reports of a build's state to the git host that its source came from.

use super::{
    Trigger, TriggerId, endpoint::CallbackUrl, git::CommitId, provider::Provider, text::Invalid,
    trigger::RuleName,
};

/// Repository and commit that show the status of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusTarget {
    /// The kind of host.
    pub provider: Provider,
    /// Base address of the host's API, such as `https://api.github.com`: see [`api_url`].
    pub api_url: CallbackUrl,
    /// Repository's name on the host: `owner/name`; on GitLab the project's full path.
    pub repository: String,
    /// The commit's full id.
    pub commit: String,
    /// Name of the status; a later status of the same name replaces it. One name per project and rule.
    pub context: String,
    /// Trigger that created the build.
    pub trigger: TriggerId,
    /// The trigger's own token, as configured now, sealed with [`token_context`]; if absent, the operator's
    /// token for the host is used.
    pub token: Option<Vec<u8>>,
}

/// Address and token for the commit statuses of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSettings {
    /// Base address of the host's API.
    pub api_url: CallbackUrl,
    /// The trigger's own token, sealed with [`token_context`]; if absent, the operator's token for the host
    /// is used.
    pub token: Option<Vec<u8>>,
}

/// Returns the sealing context of a trigger's token. A sealed token opens for this address only: to change
/// the address, a caller must supply the token again.
pub fn token_context(trigger: TriggerId, api_url: &CallbackUrl) -> Vec<u8> {
    format!("status of trigger {trigger} at {api_url}").into_bytes()
}

impl StatusTarget {
    /// Returns the target for a build that a rule of this trigger makes of a commit; `None` if the trigger
    /// reports no commit statuses.
    pub fn of(trigger: &Trigger, rule: &RuleName, commit: &CommitId) -> Option<Self> {
        let settings = trigger.settings.commit_status.as_ref()?;
        Some(Self {
            provider: trigger.provider,
            api_url: settings.api_url.clone(),
            repository: trigger.settings.repository.to_string(),
            commit: commit.to_string(),
            // Several projects may have triggers on the same host, with rules of the same name.
            context: format!("slipway/{}/{rule}", trigger.project),
            trigger: trigger.id,
            token: settings.token.clone(),
        })
    }
}

/// Returns the base address of the API of the host that `clone_url` belongs to; `None` for providers without
/// statuses.
///
/// # Errors
/// Fails if the address is neither http nor https: the API of such a host must be configured.
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
