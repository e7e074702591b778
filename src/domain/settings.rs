//! Limits and settings of a project: its share of the service, what its builds may do, and their credentials.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    destination::RepositoryPrefix,
    options::Resources,
    source::{ClaimName, Source},
    text::{Invalid, plain, text_type},
};

text_type!(
    /// Name of a Secret in the builds' namespace: a DNS subdomain.
    #[schema(example = "team-registry", pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length = 253)]
    SecretName,
    check_secret
);
text_type!(
    /// Host with an optional port, exactly as an address contains it.
    #[schema(example = "git.example.com", max_length = 261)]
    Host,
    check_host
);

/// Mode of pushing a build's image to its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushMode {
    /// One container builds and pushes: a `RUN` step can read the push credentials.
    #[default]
    Direct,
    /// One container builds, with credentials for pulling at most; a second one, which runs no step, pushes.
    Isolated,
}

/// Secret with credentials for git hosts, and the hosts that may receive them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitAccess {
    /// Secret with the key `token`, or with `username` and `password`.
    pub secret: SecretName,
    /// Hosts that may receive the credentials.
    pub hosts: Vec<Host>,
}

/// Settings of a project. The operator's configuration applies to absent ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// Mode of pushing images.
    pub push_mode: PushMode,
    /// Secret of type `kubernetes.io/dockerconfigjson` for pushing images; with `push_mode: direct` also for
    /// pulling base images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_secret: Option<SecretName>,
    /// Secret of the same type for pulling base images if `push_mode` is `isolated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<SecretName>,
    /// Credentials for git hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitAccess>,
    /// Secrets that builds may name for `RUN --mount=type=secret`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_secrets: Vec<SecretName>,
    /// Resources of a build's container if the request names none.
    pub default_resources: Resources,
    /// Upper bound of the resources that a request may ask for.
    pub max_resources: Resources,
    /// PersistentVolumeClaims that builds may take their contexts from; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<ClaimName>>,
    /// Destinations that images and cached layers may be pushed to. If absent, administrators may push
    /// anywhere; tokens of the project may push nowhere, unless the operator allows it
    /// (`--allow-any-destination`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<RepositoryPrefix>>,
    /// Prefix for destinations that name no registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_registry: Option<RepositoryPrefix>,
    /// Kinds of sources that contexts may come from; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<SourceKind>>,
}

/// Limits and settings of a project: its share of the service, and what its builds may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectTerms {
    /// Upper bound of running builds; the operator's default if null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_running: Option<u32>,
    /// Upper bound of queued builds; the operator's default if null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_queued: Option<u32>,
    /// Upper bound of builds created within an hour; the operator's default if null.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_per_hour: Option<u32>,
    /// Weight in the fair share: a free slot goes to the project that holds the fewest slots relative to its
    /// weight.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub weight: u32,
    /// Settings: what the project's builds may do, and their credentials.
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

/// Kind of a source, by its name in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A git repository.
    Git,
    /// A folder on a PersistentVolumeClaim.
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
    /// Returns the kind of a source.
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

    /// Returns the name used in JSON.
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
