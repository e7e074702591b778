//! The Job of each kind of source and of each form of credentials, as the cluster gets it.

mod isolated;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json};

use super::{GitCredentials, KubernetesOptions, RegistryCredentials, manifest};
use crate::launcher::{ContextGrant, LaunchError, Order};

const BUILD: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn order(source: Value, rest: Value) -> Order {
    let mut body = json!({
        "project": "team-a", "source": source, "destinations": ["registry.example.com/team/app:1"],
    });
    body.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    Order {
        id: BUILD.parse().unwrap(),
        spec: serde_json::from_value(body).unwrap(),
        project: crate::domain::ProjectSettings::default(),
        context: None,
    }
}

fn git() -> Value {
    json!({ "git": { "url": "https://git.example.com/team/app.git", "ref": "main" } })
}

fn upload() -> Order {
    let source = json!({ "upload": { "context_id": "01890a5d-ac96-774b-bcce-b302099a8058" } });
    let mut order = order(source, json!({}));
    order.context = Some(ContextGrant {
        url: "http://slipway.slipway:8080/api/v1/contexts/x/archive"
            .parse()
            .unwrap(),
        token: "gr$(ant".to_owned().into(),
        sha256: [7; 32],
        size: 1234,
    });
    order
}

fn options() -> KubernetesOptions {
    KubernetesOptions {
        fetcher_image: "slipway:test".into(),
        ..KubernetesOptions::default()
    }
}

#[test]
fn a_git_source_with_a_registry_secret() {
    let options = KubernetesOptions {
        registry_credentials: Some(RegistryCredentials::Secret("registry".into())),
        git_credentials: Some(GitCredentials {
            secret: "git".into(),
            hosts: vec!["git.example.com".into()],
        }),
        ..options()
    };
    insta::assert_yaml_snapshot!(manifest(&order(git(), json!({})), &options).unwrap());
}

#[test]
fn a_volume_source_with_credentials_on_a_claim() {
    let source = json!({ "volume": { "claim": "contexts", "path": "my-build" } });
    let options = KubernetesOptions {
        registry_credentials: Some(RegistryCredentials::Claim("docker-config".into())),
        ..options()
    };
    insta::assert_yaml_snapshot!(manifest(&order(source, json!({})), &options).unwrap());
}

#[test]
fn an_uploaded_context_without_credentials() {
    insta::assert_yaml_snapshot!(manifest(&upload(), &options()).unwrap());
}

#[test]
fn an_object_stores_credentials_go_to_object_stores_only() {
    let options = KubernetesOptions {
        object_store_secret: Some("s3".into()),
        ..options()
    };
    let env_from = |source| {
        let job = manifest(&order(source, json!({})), &options).unwrap();
        job.spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .containers
            .remove(0)
            .env_from
    };
    let names = |source| {
        let sources = env_from(source).unwrap_or_default();
        sources
            .into_iter()
            .map(|source| source.secret_ref.unwrap().name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({ "s3": { "url": "s3://bucket/x.tar.gz" } })), ["s3"]);
    assert_eq!(names(json!({ "gs": { "url": "gs://bucket/x.tar.gz" } })), ["s3"]);
    assert!(names(json!({ "http": { "url": "https://files.test/x.tar.gz" } })).is_empty());
}

#[test]
fn git_credentials_go_to_the_named_hosts_only() {
    let variables = |url: &str| {
        let options = KubernetesOptions {
            git_credentials: Some(GitCredentials {
                secret: "git".into(),
                hosts: vec!["git.example.com".into(), "git.test:8443".into()],
            }),
            ..options()
        };
        let job = manifest(&order(json!({ "git": { "url": url } }), json!({})), &options).unwrap();
        let env = job
            .spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .containers
            .remove(0)
            .env
            .unwrap();
        env.iter()
            .filter(|variable| variable.value_from.is_some())
            .count()
    };
    assert_eq!(variables("https://git.example.com/a"), 3);
    assert_eq!(variables("https://git.test:8443/a"), 3);
    for foreign in [
        "https://git.example.com.evil.test/a",
        "https://evil.test/git.example.com",
        "https://git.test/a",
    ] {
        assert_eq!(variables(foreign), 0, "{foreign}");
    }
}

#[test]
fn what_operators_add() {
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let mut options = KubernetesOptions {
        namespace: "builds".into(),
        image_pull_policy: Some("IfNotPresent".into()),
        image_pull_secrets: vec!["pull".into()],
        service_account: Some("slipway-build".into()),
        extra_capabilities: vec!["SYS_CHROOT".into()],
        extra_env: one("HTTPS_PROXY", "http://proxy.test:3128"),
        labels: one("team", "platform"),
        annotations: one("karpenter.sh/do-not-disrupt", "false"),
        node_selector: one("pool", "builds"),
        tolerations: vec![Toleration {
            key: Some("builds".into()),
            operator: Some("Exists".into()),
            ..Toleration::default()
        }],
        runtime_class: Some("gvisor".into()),
        priority_class: Some("low".into()),
        user_namespaces: true,
        ..options()
    };
    options
        .labels
        .extend(one("app.kubernetes.io/managed-by", "somebody else"));
    options.kaniko.extra_args = vec!["--reproducible".into()];
    let rest =
        json!({ "resources": { "cpu": "4", "memory": "8Gi" }, "max_retries": 0, "timeout_seconds": 60 });
    insta::assert_yaml_snapshot!(manifest(&order(git(), rest), &options).unwrap());
}

#[test]
fn kubernetes_does_not_put_its_own_variables_into_what_callers_write() {
    let order = order(git(), json!({ "build_args": { "X": "$(GIT_TOKEN) $$ $HOME" } }));
    let job = manifest(&order, &options()).unwrap();
    let args = job
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .containers
        .remove(0)
        .args
        .unwrap();
    assert!(
        args.contains(&"--build-arg=X=$$(GIT_TOKEN) $$$$ $$HOME".to_owned()),
        "{args:?}"
    );
}

#[test]
fn the_jobs_own_deadline_outlasts_all_attempts() {
    for (retries, timeout) in [(0, 1), (3, 3600), (10, 86_400)] {
        let rest = json!({ "max_retries": retries, "timeout_seconds": timeout });
        let spec = manifest(&order(git(), rest), &options()).unwrap().spec.unwrap();
        let attempt = spec.template.spec.unwrap().active_deadline_seconds.unwrap();
        assert_eq!(attempt, timeout);
        assert!(spec.active_deadline_seconds.unwrap() > (attempt + 600) * (retries + 1));
    }
}

#[test]
fn an_upload_without_a_grant_is_refused() {
    let order = Order {
        project: crate::domain::ProjectSettings::default(),
        context: None,
        ..upload()
    };
    assert!(matches!(
        manifest(&order, &options()),
        Err(LaunchError::Refused(_))
    ));
}
