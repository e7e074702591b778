//! Isolated push: an init container builds without push credentials and leaves the image on a volume; the
//! main container, in which no step runs, pushes it.

use k8s_openapi::{
    api::core::v1::{Container, EmptyDirVolumeSource, SecurityContext, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    KubernetesOptions, credentials,
    pod::{Containers, TERMINATION_LOG, builder, least_rights, literal, resources, verbatim},
};
use crate::launcher::{
    Order,
    kaniko_args::{IMAGE_DIR, build_only_args, push_args},
    outcome::{BUILD_CONTAINER, PUSH_CONTAINER},
};

const VOLUME: &str = "image";

pub(super) fn containers(order: &Order, options: &KubernetesOptions, inputs: Vec<VolumeMount>) -> Containers {
    let pull = credentials::pull(order);
    let push = credentials::push(order, options);
    let args = build_only_args(&order.spec, &options.kaniko, TERMINATION_LOG);
    let mounts = inputs.into_iter().chain(pull.mount).chain([mount(false)]);
    let builder = Container {
        volume_mounts: Some(mounts.collect()),
        ..builder(BUILD_CONTAINER, order, options, &args)
    };
    let pusher = Container {
        volume_mounts: Some(push.mount.into_iter().chain([mount(true)]).collect()),
        ..pusher(order, options)
    };
    let volumes = pull.volume.into_iter().chain(push.volume);
    Containers {
        init: Some(builder),
        main: pusher,
        volumes: volumes.chain([volume(options)]).collect(),
    }
}

/// Returns the volume for the image. Its content counts against the pod's disk limit, as other files of
/// kaniko's do.
fn volume(options: &KubernetesOptions) -> Volume {
    Volume {
        name: VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: None,
            size_limit: Some(Quantity(options.resources.disk_limit.clone())),
        }),
        ..Volume::default()
    }
}

fn mount(read_only: bool) -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: IMAGE_DIR.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn pusher(order: &Order, options: &KubernetesOptions) -> Container {
    let args = push_args(&order.spec, &options.kaniko);
    let extra = options.extra_env.iter().map(|(name, value)| literal(name, value));
    let env: Vec<_> = extra.collect();
    Container {
        name: PUSH_CONTAINER.to_owned(),
        image: Some(options.kaniko.image.clone()),
        image_pull_policy: options.image_pull_policy.clone(),
        args: Some(args.iter().map(|arg| verbatim(arg)).collect()),
        env: (!env.is_empty()).then_some(env),
        // The containers run one after the other, so this reserves no more than the building one does.
        resources: Some(resources(order, options)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            // The credentials belong to root, as does the built image.
            run_as_user: Some(0),
            ..least_rights(std::iter::empty())
        }),
        ..Container::default()
    }
}
