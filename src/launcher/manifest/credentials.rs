//! Which credentials a build's container gets to see. Any of its RUN steps can read them, so it gets no others.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, KeyToPath, PersistentVolumeClaimVolumeSource, SecretEnvSource,
    SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
};

use super::{KubernetesOptions, RegistryCredentials};
use crate::domain::Source;

const VOLUME: &str = "registry-credentials";
const DOCKER_CONFIG: &str = "/kaniko/.docker";

/// What the registry's credentials add to the pod.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) volume: Option<Volume>,
    pub(super) mount: Option<VolumeMount>,
}

pub(super) fn registry(options: &KubernetesOptions) -> Credentials {
    match &options.registry_credentials {
        None => Credentials::default(),
        Some(RegistryCredentials::Secret(name)) => secret(name),
        Some(RegistryCredentials::Claim(name)) => claim(name),
    }
}

fn secret(name: &str) -> Credentials {
    Credentials {
        volume: Some(Volume {
            name: VOLUME.to_owned(),
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
        mount: Some(mount(DOCKER_CONFIG.to_owned(), None)),
    }
}

fn claim(name: &str) -> Credentials {
    Credentials {
        volume: Some(Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.to_owned(),
                read_only: None,
            }),
            ..Volume::default()
        }),
        mount: Some(mount(
            format!("{DOCKER_CONFIG}/config.json"),
            Some("config.json".to_owned()),
        )),
    }
}

fn mount(mount_path: String, sub_path: Option<String>) -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path,
        sub_path,
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// For git sources on a host that the operator named, and for no other: the caller chooses the host.
pub(super) fn git(source: &Source, options: &KubernetesOptions) -> Vec<EnvVar> {
    let (Source::Git(git), Some(credentials)) = (source, &options.git_credentials) else {
        return Vec::new();
    };
    if !credentials
        .hosts
        .iter()
        .any(|host| host == host_of(git.url.as_str()))
    {
        return Vec::new();
    }
    [
        ("GIT_TOKEN", "token"),
        ("GIT_USERNAME", "username"),
        ("GIT_PASSWORD", "password"),
    ]
    .map(|(name, key)| from_secret(name, &credentials.secret, key))
    .into()
}

/// The host as the URL writes it, with its port.
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

/// The clouds' own variables, for sources in object stores.
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
