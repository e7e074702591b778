//! Jobs with an isolated push, a project's own credentials and build secrets.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::json;

use super::{git, options, order, upload};
use crate::{
    domain::{ProjectSettings, settings::PushMode},
    launcher::{
        LaunchError, Order,
        manifest::{GitCredentials, KubernetesOptions, RegistryCredentials, manifest},
    },
};

fn project(settings: serde_json::Value) -> ProjectSettings {
    serde_json::from_value(settings).unwrap()
}

fn pod(order: &Order, options: &KubernetesOptions) -> PodSpec {
    manifest(order, options)
        .unwrap()
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
}

fn with_registry_secret() -> KubernetesOptions {
    KubernetesOptions {
        registry_credentials: Some(RegistryCredentials::Secret("registry".into())),
        ..options()
    }
}

fn mounted(container: &Container) -> Vec<&str> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| mount.name.as_str()).collect()
}

#[test]
fn an_isolated_push_of_an_upload_with_everything() {
    let mut order = upload();
    order.spec.secrets = serde_json::from_value(json!([
        { "id": "npm", "secret": "team-npm", "key": "token" },
        { "id": "pip.conf", "secret": "team-pip", "key": "conf" },
    ]))
    .unwrap();
    order.project = project(json!({
        "push_mode": "isolated", "push_secret": "team-push", "pull_secret": "team-pull",
        "build_secrets": ["team-npm", "team-pip"], "default_resources": { "memory": "3Gi" },
    }));
    insta::assert_yaml_snapshot!(manifest(&order, &with_registry_secret()).unwrap());
}

#[test]
fn what_may_push_is_not_where_steps_run() {
    for own in [json!({}), json!({ "push_secret": "team-push" })] {
        let mut order = order(git(), json!({}));
        order.project = project(own);
        order.project.push_mode = PushMode::Isolated;
        let pod = pod(&order, &with_registry_secret());
        let builder = &pod.init_containers.as_ref().unwrap()[0];
        assert_eq!(mounted(builder), ["image"]);
        assert_eq!(mounted(&pod.containers[0]), ["registry-credentials", "image"]);
        assert_eq!(pod.containers[0].env, None);
    }
}

#[test]
fn a_projects_own_credentials_take_the_place_of_the_operators() {
    let mut order = order(git(), json!({}));
    order.project = project(json!({
        "push_secret": "team-push", "git": { "secret": "team-git", "hosts": ["git.example.com"] },
    }));
    let options = KubernetesOptions {
        git_credentials: Some(GitCredentials {
            secret: "git".into(),
            hosts: vec!["git.example.com".into(), "other.example.com".into()],
        }),
        ..with_registry_secret()
    };
    let secrets = |order: &Order| {
        let pod = pod(order, &options);
        let volume = pod
            .volumes
            .unwrap()
            .remove(0)
            .secret
            .unwrap()
            .secret_name
            .unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        let git = env
            .iter()
            .find_map(|one| Some(one.value_from.as_ref()?.secret_key_ref.as_ref()?.name.clone()));
        (volume, git)
    };
    assert_eq!(secrets(&order), ("team-push".into(), Some("team-git".into())));
    let at = |host: &str| Order {
        spec: super::order(
            json!({ "git": { "url": format!("https://{host}/a.git") } }),
            json!({}),
        )
        .spec,
        ..order.clone()
    };
    assert_eq!(secrets(&at("other.example.com")).1, Some("git".into()));
    assert_eq!(secrets(&at("git.example.com.evil.test")).1, None);
}

#[test]
fn a_secret_that_is_not_the_projects_is_refused() {
    let secret = json!({ "secrets": [{ "id": "a", "secret": "somebody-elses", "key": "token" }] });
    let mut order = order(git(), secret);
    let refused = manifest(&order, &options());
    assert!(
        matches!(&refused, Err(LaunchError::Refused(why)) if why.contains("somebody-elses")),
        "{refused:?}"
    );
    order.project = project(json!({ "build_secrets": ["somebody-elses"] }));
    let pod = pod(&order, &options());
    assert_eq!(mounted(&pod.containers[0]), ["build-secrets"]);
}

#[test]
fn operators_may_relax_what_is_hard_by_default() {
    let relaxed = KubernetesOptions {
        seccomp: false,
        privilege_escalation: true,
        ..options()
    };
    let pod = pod(&order(git(), json!({})), &relaxed);
    assert_eq!(pod.security_context, None);
    let context = pod.containers[0].security_context.as_ref().unwrap();
    assert_eq!(context.allow_privilege_escalation, Some(true));
    assert_eq!(context.privileged, Some(false));
}
