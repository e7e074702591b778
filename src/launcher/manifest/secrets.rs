//! Mounts the secrets that a build's steps may request, as files in the building container only.

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::{
    domain::secrets::BuildSecret,
    launcher::{LaunchError, Order, kaniko_args::SECRETS_DIR},
};

const VOLUME: &str = "build-secrets";

/// Parts that the secrets add to the pod.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) volume: Option<Volume>,
    pub(super) mount: Option<VolumeMount>,
}

/// Returns the volume and the mount of the build's secrets. Refused if a Secret is not in the project's
/// settings (any more): they may have changed since the build was created.
pub(super) fn secrets(order: &Order) -> Result<Secrets, LaunchError> {
    let secrets = &order.spec.secrets;
    order
        .project
        .allow_secrets(secrets)
        .map_err(|(place, why)| LaunchError::Refused(format!("secrets[{place}] {why}")))?;
    if secrets.is_empty() {
        return Ok(Secrets::default());
    }
    Ok(Secrets {
        volume: Some(Volume {
            name: VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(0o400),
                sources: Some(secrets.iter().map(projection).collect()),
            }),
            ..Volume::default()
        }),
        mount: Some(VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: SECRETS_DIR.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }),
    })
}

fn projection(one: &BuildSecret) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: one.secret.to_string(),
            items: Some(vec![KeyToPath {
                key: one.key.to_string(),
                path: one.id.to_string(),
                mode: None,
            }]),
            // The pod waits for a missing Secret and reports it: `config_missing`.
            optional: Some(false),
        }),
        ..VolumeProjection::default()
    }
}
