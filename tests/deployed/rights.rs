//! The service's rights in the cluster: those that deploy/kubernetes/rbac.yaml grants, each of them needed, and no
//! others.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    batch::v1::Job,
    core::v1::Secret,
    rbac::v1::Role,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams, PropagationPolicy},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use slipway::domain::BuildId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::case::within,
    deployed::expected::{failed, succeeded},
    deployed::recorder::{Recorder, Right},
    deployed::world::World,
    support::cluster,
    support::registry::Registry,
};

const SLEEPING: &str = "FROM BASE\nRUN echo begun; sleep 600\n";

fn right(verb: &str, resource: &str) -> Right {
    (verb.to_owned(), resource.to_owned())
}

impl World {
    /// The Role that the deployment gives the service.
    async fn granted(&self) -> BTreeSet<Right> {
        let role = self.place.api::<Role>().get("slipway").await;
        let role = role.expect("the deployment has a Role");
        let mut rights = BTreeSet::new();
        for rule in role.rules.iter().flatten() {
            let resources = rule.resources.iter().flatten();
            rights.extend(resources.flat_map(|resource| rule.verbs.iter().map(|verb| right(verb, resource))));
        }
        rights
    }

    /// A client with nothing but the service's own token.
    async fn services_client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.home.path().join("kubeconfig")).expect("it can be read");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.expect("it is usable")).expect("it is usable")
    }

    /// Asks for a build that does not end by itself, and waits until it is at it.
    async fn sleeping(&self, name: &'static str) -> BuildId {
        let case = self.case(name, SLEEPING, json!({}), succeeded());
        let id = self.begin(&case).await;
        let begun = within(Duration::from_secs(120), async || {
            self.log(&id).await.contains("begun\n")
        });
        assert!(begun.await, "it never began");
        id.parse().expect("a build's id")
    }

    /// Cancels it, and waits until nothing of it runs any more.
    pub async fn cancelled(&self, id: BuildId) {
        let (status, answer) = self
            .service
            .post(&format!("api/v1/builds/{id}/cancel"), &json!({}))
            .await;
        assert!(status < 300, "{status} {answer}");
        let build = self.service.ended(&id.to_string(), Duration::from_secs(60)).await;
        assert_eq!(build["state"], "cancelled");
        assert!(self.place.pods(id).await.is_empty());
    }
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_service_uses_every_right_that_it_has_and_misses_none(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let mut world = World::new(&database, Registry::open(&cluster::host()).await).await;
    let (recorder, address) = Recorder::start().await;
    let kubeconfig = world.home.path().join("kubeconfig");
    world.place.service_kubeconfig(&kubeconfig, Some(&address)).await;
    world.serve(&[]).await;
    let step = "FROM BASE\nRUN exit 42\n";
    let expected = failed("build_step_failed", "user").exit(42);
    let cases = vec![
        world.case(
            "rights: a build that succeeds",
            "FROM BASE\n",
            json!({}),
            succeeded(),
        ),
        world.case(
            "rights: a build whose retries are stopped",
            step,
            json!({ "max_retries": 3 }),
            expected,
        ),
    ];
    world.run(cases).await;
    let id = world.sleeping("rights: a build that is cancelled").await;
    world.cancelled(id).await;
    // Its pod goes on without it, and must be stopped by itself.
    let id = world.sleeping("rights: a build whose Job is deleted").await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let deleted = world.place.api::<Job>().delete(&id.job_name(), &orphan).await;
    drop(deleted.expect("the API server takes it"));
    world.cancelled(id).await;

    assert_eq!(recorder.refused(), BTreeSet::new(), "{}", world.service.log());
    assert_eq!(recorder.made(), world.granted().await);
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_services_token_is_good_for_nothing_else(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(&database, Registry::start(&cluster::host())).await;
    let client = world.services_client().await;
    let here = world.place.namespace.as_str();
    for (verb, resource) in world.granted().await {
        assert!(may(&client, &verb, &resource, here).await, "{verb} {resource}");
        for elsewhere in ["default", "slipway", "kube-system", ""] {
            assert!(
                !may(&client, &verb, &resource, elsewhere).await,
                "{verb} {resource} in {elsewhere:?}"
            );
        }
    }
    let forbidden = [
        ("get", "secrets"),
        ("list", "secrets"),
        ("get", "configmaps"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "pods/attach"),
        ("patch", "pods"),
        ("update", "jobs"),
        ("deletecollection", "jobs"),
        ("deletecollection", "pods"),
        ("create", "events"),
        ("create", "serviceaccounts/token"),
        ("get", "persistentvolumeclaims"),
        ("create", "rolebindings"),
        ("get", "namespaces"),
        ("list", "nodes"),
        ("impersonate", "serviceaccounts"),
    ];
    for (verb, resource) in forbidden {
        assert!(!may(&client, verb, resource, here).await, "{verb} {resource}");
    }
    world.registry_secret("registry", "hidden").await;
    let secrets = Api::<Secret>::namespaced(client, here)
        .list(&ListParams::default())
        .await;
    assert!(
        matches!(&secrets, Err(kube::Error::Api(status)) if status.code == 403),
        "{secrets:?}"
    );
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_builds_service_account_may_do_nothing(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(&database, Registry::start(&cluster::host())).await;
    let here = world.place.namespace.as_str();
    let mut config = cluster::config().await;
    config.auth_info.impersonate = Some(format!("system:serviceaccount:{here}:slipway-build"));
    let client = Client::try_from(config).expect("the kubeconfig is usable");
    for (verb, resource) in world.granted().await {
        assert!(!may(&client, &verb, &resource, here).await, "{verb} {resource}");
    }
    for (verb, resource) in [
        ("get", "secrets"),
        ("list", "configmaps"),
        ("create", "pods"),
        ("list", "pods"),
    ] {
        assert!(!may(&client, verb, resource, here).await, "{verb} {resource}");
    }
}

/// As `kubectl auth can-i` asks.
async fn may(client: &Client, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, part) = match resource.split_once('/') {
        Some((resource, part)) => (resource, Some(part.to_owned())),
        None => (resource, None),
    };
    let group = match resource {
        "jobs" => "batch",
        "rolebindings" => "rbac.authorization.k8s.io",
        _ => "",
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: part,
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .expect("everybody may ask");
    answer.status.expect("an answer").allowed
}
