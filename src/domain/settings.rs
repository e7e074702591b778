//! What an administrator settles for a project: what its builds may do, and with which credentials.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    destination::RepositoryPrefix,
    options::Resources,
    source::{ClaimName, Source},
    text::{Invalid, plain, text_type},
};

text_type!(
    /// The name of a Secret in the builds' namespace: a DNS subdomain.
    #[schema(example = "team-registry", pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length = 253)]
    SecretName,
    check_secret
);
text_type!(
    /// A host, with its port where it has one, exactly as an address names it.
    #[schema(example = "git.example.com", max_length = 261)]
    Host,
    check_host
);

/// How a build's image gets to its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushMode {
    /// One container builds and pushes: a `RUN` step can read the credentials for the push.
    #[default]
    Direct,
    /// One container builds, with credentials for pulling at most; another one, in which no step runs, pushes.
    Isolated,
}

/// A Secret with credentials for git hosts, and the hosts that may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitAccess {
    /// A Secret with `token`, or with `username` and `password`.
    pub secret: SecretName,
    /// The hosts that may see them.
    pub hosts: Vec<Host>,
}

/// What an administrator settles for a project. What is absent is as the operator's settings have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// How images are pushed.
    pub push_mode: PushMode,
    /// A Secret of type `kubernetes.io/dockerconfigjson` with which images are pushed; with `push_mode: direct` also
    /// what base images are pulled with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_secret: Option<SecretName>,
    /// Another one, with which base images are pulled where `push_mode` is `isolated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<SecretName>,
    /// Credentials for git hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitAccess>,
    /// Secrets that builds may name for `RUN --mount=type=secret`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_secrets: Vec<SecretName>,
    /// What a build's container may use unless the request says otherwise.
    pub default_resources: Resources,
    /// The most that a request may ask for.
    pub max_resources: Resources,
    /// The claims that builds may take their contexts from; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<ClaimName>>,
    /// Where images, and cached layers, may be pushed. When absent, administrators may push anywhere, and tokens of
    /// the project nowhere, unless the operator lets them (`--allow-any-destination`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<RepositoryPrefix>>,
    /// What completes a destination that names no registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_registry: Option<RepositoryPrefix>,
    /// Where contexts may come from; anywhere when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<SourceKind>>,
}

/// All that an administrator settles for a project: its share of the service, and what its builds may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectTerms {
    /// Builds that may run at once; the operator's default when null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_running: Option<u32>,
    /// Builds that may wait at once; the operator's default when null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_queued: Option<u32>,
    /// Builds that may be created within an hour; the operator's default when null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_per_hour: Option<u32>,
    /// Free slots go to the project that holds the least for its weight.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub weight: u32,
    /// What its builds may do, and with which credentials.
    pub settings: ProjectSettings,
}

impl Default for ProjectTerms {
    fn default() -> Self {
        Self {
            max_running: None,
            max_queued: None,
            max_per_hour: None,
            weight: 1,
            settings: ProjectSettings::default(),
        }
    }
}

/// The kind of a source, by the name that a request gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A git repository.
    Git,
    /// A folder on a claim.
    Volume,
    /// An uploaded context.
    Upload,
    /// An archive behind a plain GET.
    Http,
    /// An archive in Amazon S3.
    S3,
    /// An archive in Google Cloud Storage.
    Gs,
    /// An archive in Azure Blob Storage.
    Azure,
}

impl SourceKind {
    /// Of this source.
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Git(_) => Self::Git,
            Source::Volume(_) => Self::Volume,
            Source::Upload(_) => Self::Upload,
            Source::Http(_) => Self::Http,
            Source::S3(_) => Self::S3,
            Source::Gs(_) => Self::Gs,
            Source::Azure(_) => Self::Azure,
        }
    }

    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Volume => "volume",
            Self::Upload => "upload",
            Self::Http => "http",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Azure => "azure",
        }
    }
}

fn check_secret(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inside = |c: char| end(c) || c == '-';
    let label = |label: &str| label.chars().all(inside) && label.starts_with(end) && label.ends_with(end);
    if !text.split('.').all(label) {
        return Err(Invalid::new(
            "must be a Secret's name: a-z, 0-9, '-' and '.', each part beginning and ending with a letter or digit",
        ));
    }
    Ok(())
}

fn check_host(text: &str) -> Result<(), Invalid> {
    plain(text, 261)?;
    let address = url::Url::parse(&format!("https://{text}/")).ok();
    let same = address.is_some_and(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        url.host_str().is_some_and(|host| format!("{host}{port}") == text)
    });
    if !same
        && text
            .strip_suffix(":443")
            .is_none_or(|host| check_host(host).is_err())
    {
        return Err(Invalid::new(
            "must be a host in lower case, with its port where it has one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts_and_nothing_around_them() {
        for text in [
            "git.example.com",
            "git.example.com:8443",
            "10.0.0.1",
            "[::1]:80",
            "h:443",
        ] {
            assert!(text.parse::<Host>().is_ok(), "{text}");
        }
        for text in [
            "",
            "a/b",
            "a@b",
            "a b",
            "https://a",
            "A.example",
            "a:",
            "a:x",
            "a?b",
            "a#b",
            "a\0",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_named_as_kubernetes_names_them() {
        for text in ["a", "team-registry", "a.b-c.d0"] {
            assert!(text.parse::<SecretName>().is_ok(), "{text}");
        }
        for text in ["", "-a", "a-", "a..b", "A", "a_b", "../a", "a/b", ".a"] {
            assert!(text.parse::<SecretName>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_need_be_settled() {
        let settings: ProjectSettings = serde_json::from_str("{}").expect("all of it is optional");
        assert_eq!(settings, ProjectSettings::default());
        assert!(serde_json::from_str::<ProjectSettings>(r#"{"colour": 1}"#).is_err());
    }
}
