//! Provides a context that kaniko cannot fetch by itself in its container.

use k8s_openapi::{
    api::core::v1::{
        Container, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecurityContext, Volume,
        VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use secrecy::ExposeSecret;

use super::{
    KubernetesOptions,
    pod::{amounts, least_rights, literal, verbatim},
};
use crate::{
    domain::Source,
    launcher::{
        LaunchError, Order,
        context::{FetchContextArgs, TOKEN_VARIABLE},
        kaniko_args::{CONTEXT_DIR, must_be_fetched},
        outcome::FETCH_CONTAINER,
    },
};

/// Name of the volume, and its path in the fetcher's container.
const VOLUME: &str = "context";
const FETCHER_DIR: &str = "/context";
/// Folder on the volume that kaniko's container mounts. The download lies beside it, outside of that mount.
const TREE: &str = "tree";

/// Parts that a context adds to the pod.
#[derive(Default)]
pub(super) struct Context {
    pub(super) volume: Option<Volume>,
    pub(super) mount: Option<VolumeMount>,
    pub(super) fetcher: Option<Container>,
}

pub(super) fn context(order: &Order, options: &KubernetesOptions) -> Result<Context, LaunchError> {
    match &order.spec.source {
        Source::Volume(volume) => Ok(claim(volume.claim.as_str())),
        source if must_be_fetched(source) => fetched(order, options),
        _ => Ok(Context::default()),
    }
}

fn claim(name: &str) -> Context {
    Context {
        volume: Some(Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.to_owned(),
                read_only: None,
            }),
            ..Volume::default()
        }),
        mount: Some(mount(None)),
        fetcher: None,
    }
}

fn fetched(order: &Order, options: &KubernetesOptions) -> Result<Context, LaunchError> {
    let limit = Quantity(options.resources.context_limit.clone());
    Ok(Context {
        volume: Some(Volume {
            name: VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: None,
                size_limit: Some(limit),
            }),
            ..Volume::default()
        }),
        mount: Some(mount(Some(TREE.to_owned()))),
        fetcher: Some(fetcher(order, options)?),
    })
}

/// Mounts the context read-only: a RUN step can reach it, and must not change it for the next build.
fn mount(sub_path: Option<String>) -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: CONTEXT_DIR.to_owned(),
        read_only: Some(true),
        sub_path,
        ..VolumeMount::default()
    }
}

fn fetcher(order: &Order, options: &KubernetesOptions) -> Result<Container, LaunchError> {
    let (args, token) = fetch_args(order, options)?;
    Ok(Container {
        name: FETCH_CONTAINER.to_owned(),
        image: Some(options.fetcher_image.clone()),
        image_pull_policy: options.image_pull_policy.clone(),
        args: Some(args.to_vector().iter().map(|arg| verbatim(arg)).collect()),
        env: Some(vec![literal(TOKEN_VARIABLE, &token)]),
        resources: Some(amounts(
            ["100m", "64Mi", "64Mi"],
            ["1", "256Mi", &options.resources.context_limit],
        )),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: FETCHER_DIR.to_owned(),
            ..VolumeMount::default()
        }]),
        security_context: Some(SecurityContext {
            // The files must belong to root, as in a context that kaniko fetched.
            run_as_user: Some(0),
            read_only_root_filesystem: Some(true),
            ..least_rights(std::iter::empty())
        }),
        ..Container::default()
    })
}

fn fetch_args(order: &Order, options: &KubernetesOptions) -> Result<(FetchContextArgs, String), LaunchError> {
    let grant = order
        .context
        .as_ref()
        .ok_or_else(|| LaunchError::Refused("the uploaded context is gone".into()))?;
    let args = FetchContextArgs {
        url: grant.url.clone(),
        sha256: Some(hex::encode(grant.sha256)),
        dir: format!("{FETCHER_DIR}/{TREE}").into(),
        limits: options.context_limits.clone().into(),
    };
    Ok((args, grant.token.expose_secret().to_owned()))
}
