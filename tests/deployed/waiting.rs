//! Builds whose containers never start: failed at the pending deadline, for the reason that the cluster gives, in its
//! words, and taken away so that they do not start after all.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::expected::{Expected, PENDING_DEADLINE, failed, waited},
    deployed::report::not_run,
    deployed::world::World,
    support::cluster,
    support::registry::Registry,
};

const DEADLINE: (&str, &str) = ("SLIPWAY_PENDING_DEADLINE", PENDING_DEADLINE);
const SIMPLE: &str = "FROM BASE\n";

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_what_the_request_asks(_: PgPoolOptions, database: PgConnectOptions) {
    let mut world = World::with(&database, &[DEADLINE]).await;
    let on_nodes_with = |label: &str, value: &str| {
        let wish = json!({ "key": label, "operator": "In", "values": [value] });
        json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [wish] }] } })
    };
    let folder = json!({ "path": "/var/empty" });
    let place = &mut world.place;
    let far = on_nodes_with("kubernetes.io/hostname", "another-node");
    place
        .claim_on(
            "on-another-node",
            json!({ "hostPath": folder, "nodeAffinity": far }),
        )
        .await;
    let far = on_nodes_with("topology.kubernetes.io/zone", "another-zone");
    place
        .claim_on(
            "in-another-zone",
            json!({ "hostPath": folder, "nodeAffinity": far }),
        )
        .await;
    let absent = json!({ "path": "/var/empty/no-such-folder", "type": "Directory" });
    place
        .claim_on("without-its-folder", json!({ "hostPath": absent }))
        .await;
    let without_volume = json!({
        "metadata": { "name": "without-volume" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    place.create::<PersistentVolumeClaim>(without_volume).await;

    let on = |name, claim: &str, expected: Expected| {
        world.case_from(name, json!({ "volume": { "claim": claim } }), json!({}), expected)
    };
    world
        .run(vec![
            world.case(
                "a request of 1,000 CPUs",
                SIMPLE,
                json!({ "resources": { "cpu": "1000" } }),
                waited("unschedulable", "Insufficient cpu"),
            ),
            on(
                "a claim whose volume is on another node",
                "on-another-node",
                waited("unschedulable", "node affinity"),
            ),
            on(
                "a claim whose volume is in another zone",
                "in-another-zone",
                waited("unschedulable", "node affinity"),
            ),
            on(
                "a claim without a volume",
                "without-volume",
                waited("unschedulable", "unbound"),
            ),
            on(
                "a claim that does not exist",
                "absent",
                waited("config_missing", "persistentvolumeclaim \"absent\" not found"),
            ),
            on(
                "a volume whose folder does not exist",
                "without-its-folder",
                waited("config_missing", "hostPath type check failed"),
            ),
        ])
        .await;
}

/// One build under the operator's settings.
async fn alone(
    database: &PgConnectOptions,
    settings: &[(&str, &str)],
    name: &'static str,
    expected: Expected,
) {
    let settings = [&[DEADLINE], settings].concat();
    let world = World::with(database, &settings).await;
    world
        .run(vec![world.case(name, SIMPLE, json!({}), expected)])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_builders_image_that_is_nowhere(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_EXECUTOR_IMAGE", "127.0.0.1:1/kaniko:none")],
        "a builder's image that is nowhere",
        waited("builder_image_unavailable", "127.0.0.1:1/kaniko:none"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_builders_image_that_the_node_must_have_and_has_not(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    alone(
        &database,
        &[
            ("SLIPWAY_EXECUTOR_IMAGE", "127.0.0.1:1/kaniko:none"),
            ("SLIPWAY_IMAGE_PULL_POLICY", "Never"),
        ],
        "a builder's image that is never pulled",
        waited("builder_image_unavailable", "127.0.0.1:1/kaniko:none"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_builders_image_whose_name_is_none(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_EXECUTOR_IMAGE", "No Image")],
        "a builder's image whose name is none",
        waited("builder_image_unavailable", "No Image"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_secret_that_does_not_exist(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_REGISTRY_SECRET", "absent")],
        "a registry's Secret that does not exist",
        waited("config_missing", "secret \"absent\" not found"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_secret_with_variables_that_does_not_exist(_: PgPoolOptions, database: PgConnectOptions) {
    let settings = [DEADLINE, ("SLIPWAY_OBJECT_STORE_SECRET", "absent")];
    let world = World::with(&database, &settings).await;
    let source = json!({ "s3": { "url": "s3://bucket/context.tar.gz" } });
    let name = "an object store's Secret that does not exist";
    let expected = waited("config_missing", "secret \"absent\" not found");
    world
        .run(vec![world.case_from(name, source, json!({}), expected)])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_builds_own_secret_that_does_not_exist(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[DEADLINE]).await;
    let there = json!({ "metadata": { "name": "there" }, "stringData": { "token": "x" } });
    world.place.create::<Secret>(there).await;
    for name in ["absent", "there"] {
        world.project(name, json!({ "build_secrets": [name] })).await;
    }
    let secret = |name: &str, key: &str| json!({ "project": name, "secrets": [{ "id": "npm", "secret": name, "key": key }] });
    world
        .run(vec![
            world.case(
                "a build's Secret that does not exist",
                SIMPLE,
                secret("absent", "token"),
                waited("config_missing", "secret \"absent\" not found"),
            ),
            world.case(
                "a key that a build's Secret has not",
                SIMPLE,
                secret("there", "password"),
                waited("config_missing", "password"),
            ),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_claim_with_credentials_that_does_not_exist(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_REGISTRY_CLAIM", "absent")],
        "a registry's claim that does not exist",
        waited("config_missing", "persistentvolumeclaim \"absent\" not found"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_node_with_a_label_that_none_has(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_NODE_SELECTOR", "slipway.dev/test=absent")],
        "a node's label that no node has",
        waited("unschedulable", "didn't match Pod's node affinity/selector"),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_service_account_that_does_not_exist(_: PgPoolOptions, database: PgConnectOptions) {
    alone(
        &database,
        &[("SLIPWAY_SERVICE_ACCOUNT", "absent")],
        "a ServiceAccount that does not exist",
        waited("config_missing", "serviceaccount \"absent\" not found").without_pod(),
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_quota_on_pods(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[DEADLINE]).await;
    world.place.quota("pods", "0").await;
    let expected = waited("quota_exceeded", "exceeded quota").without_pod();
    let case = world.case("a quota on pods", SIMPLE, json!({}), expected);
    world.run(vec![case]).await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn for_a_namespace_under_pod_security_restricted(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[DEADLINE]).await;
    let labels = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces = Api::<Namespace>::all(world.place.client.clone());
    namespaces
        .patch(
            &world.place.namespace,
            &PatchParams::default(),
            &Patch::Merge(&labels),
        )
        .await
        .expect("the namespace can be labelled");
    let expected = waited("quota_exceeded", "violates PodSecurity \"restricted").without_pod();
    let case = world.case(
        "a namespace under Pod Security restricted",
        SIMPLE,
        json!({}),
        expected,
    );
    world.run(vec![case]).await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_builders_image_without_a_program_is_not_waited_for(_: PgPoolOptions, database: PgConnectOptions) {
    let name = "a builder's image that has no program";
    // A registry on loopback is one that nodes speak to without TLS, if they are on this machine.
    if !cluster::nodes_are_here() {
        not_run(
            name,
            "the nodes have no registry that they would pull the image from",
        );
        return;
    }
    let mut world = World::new(&database, Registry::open(&cluster::host()).await).await;
    let image = format!("127.0.0.1:{}/library/busybox:latest", world.registry.port());
    world.serve(&[("SLIPWAY_EXECUTOR_IMAGE", &image)]).await;
    let expected = failed("launch_failed", "infrastructure").exit(128);
    let case = world.case(name, SIMPLE, json!({ "max_retries": 3 }), expected);
    world.run(vec![case]).await;
}
