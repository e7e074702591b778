//! Selects the credentials that each container of a build receives. A RUN step can read everything that its
//! container can, so the building container receives no others.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, KeyToPath, PersistentVolumeClaimVolumeSource, SecretEnvSource,
    SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use super::{KubernetesOptions, RegistryCredentials};
use crate::{domain::Source, launcher::Order};

const PUSH_VOLUME: &str = "registry-credentials";
const PULL_VOLUME: &str = "pull-credentials";
const DOCKER_CONFIG: &str = "/kaniko/.docker";

/// Parts that the registry credentials add to the pod.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) volume: Option<Volume>,
    pub(super) mount: Option<VolumeMount>,
}

/// Returns the credentials for pushing the image: the project's own, or else the operator's.
pub(super) fn push(order: &Order, options: &KubernetesOptions) -> Credentials {
    if let Some(name) = &order.project.push_secret {
        return secret(PUSH_VOLUME, name.as_str());
    }
    match &options.registry_credentials {
        None => Credentials::default(),
        Some(RegistryCredentials::Secret(name)) => secret(PUSH_VOLUME, name),
        Some(RegistryCredentials::Claim(name)) => claim(name),
    }
}

/// Returns the credentials for pulling base images when another container pushes. The operator's registry
/// credentials are for pushing, so they never take the place of these.
pub(super) fn pull(order: &Order) -> Credentials {
    let name = order.project.pull_secret.as_ref();
    name.map_or_else(Credentials::default, |name| secret(PULL_VOLUME, name.as_str()))
}

fn secret(volume: &str, name: &str) -> Credentials {
    Credentials {
        volume: Some(Volume {
            name: volume.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(name.to_owned()),
                default_mode: Some(0o400),
                items: Some(vec![KeyToPath {
                    key: ".dockerconfigjson".to_owned(),
                    path: "config.json".to_owned(),
                    mode: None,
                }]),
                optional: None,
            }),
            ..Volume::default()
        }),
        mount: Some(mount(volume, DOCKER_CONFIG.to_owned(), None)),
    }
}

fn claim(name: &str) -> Credentials {
    Credentials {
        volume: Some(Volume {
            name: PUSH_VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.to_owned(),
                read_only: None,
            }),
            ..Volume::default()
        }),
        mount: Some(mount(
            PUSH_VOLUME,
            format!("{DOCKER_CONFIG}/config.json"),
            Some("config.json".to_owned()),
        )),
    }
}

fn mount(volume: &str, mount_path: String, sub_path: Option<String>) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path,
        sub_path,
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// Returns the credentials for a git source, only if its host was named for them: the caller chooses the
/// host. The project's own credentials come before the operator's, each for its hosts.
pub(super) fn git(order: &Order, options: &KubernetesOptions) -> Vec<EnvVar> {
    let Source::Git(git) = &order.spec.source else {
        return Vec::new();
    };
    let host = host_of(git.url.as_str());
    let projects = order.project.git.as_ref();
    let projects = projects.filter(|access| access.hosts.iter().any(|one| one.as_str() == host));
    let operators = options.git_credentials.as_ref();
    let operators = operators.filter(|credentials| credentials.hosts.iter().any(|one| one == host));
    let secret = projects
        .map(|access| access.secret.as_str())
        .or(operators.map(|credentials| credentials.secret.as_str()));
    let Some(secret) = secret else {
        return Vec::new();
    };
    [
        ("GIT_TOKEN", "token"),
        ("GIT_USERNAME", "username"),
        ("GIT_PASSWORD", "password"),
    ]
    .map(|(name, key)| from_secret(name, secret, key))
    .into()
}

/// Returns the host as the URL contains it, with its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn from_secret(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                // A Secret has a token, or a username and a password.
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// Returns the cloud providers' own variables, for sources in object stores.
pub(super) fn object_store(source: &Source, options: &KubernetesOptions) -> Option<EnvFromSource> {
    let secret = options.object_store_secret.as_ref()?;
    matches!(source, Source::S3(_) | Source::Gs(_) | Source::Azure(_)).then(|| EnvFromSource {
        secret_ref: Some(SecretEnvSource {
            name: secret.clone(),
            optional: None,
        }),
        ..EnvFromSource::default()
    })
}
