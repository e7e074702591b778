//! The pod of a build: what it is given, and what it is not.

use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::api::PostParams;
use serde_json::{Value, json};
use slipway::domain::BuildId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::expected::succeeded,
    deployed::report::not_run,
    deployed::world::World,
    support::cluster::{self, object},
    support::registry::Registry,
};

/// kaniko's seven capabilities by their numbers: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETFCAP.
const CAPABILITIES: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 31;

const LOOKS_AROUND: &str = "FROM BASE
RUN grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
RUN test ! -e /var/run/secrets/kubernetes.io && echo no token here
";

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_build_has_no_token_and_few_rights_in_its_container(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let simple = "FROM BASE\nRUN test ! -e /var/run/secrets/kubernetes.io && echo no token here\n";
    let dockerfile = if cluster::is_standin() {
        simple
    } else {
        LOOKS_AROUND
    };
    let mut expected = succeeded().logs("no token here");
    if cluster::is_standin() {
        not_run("a step's own /proc", "the stand-in's steps have none");
    } else {
        let set = format!("{CAPABILITIES:016x}");
        for line in [
            format!("CapEff:\t{set}"),
            format!("CapBnd:\t{set}"),
            "NoNewPrivs:\t1".into(),
            "Seccomp:\t2".into(),
        ] {
            expected = expected.logs(line);
        }
    }
    let case = world.case("a build's own container", dockerfile, json!({}), expected);
    let id = world.begin(&case).await;
    let row = world.end(&case, &id).await;
    world.report(&[row]);

    let pod = world
        .place
        .pods(id.parse().expect("a build's id"))
        .await
        .remove(0);
    let pod = world.place.api::<Pod>().get(&pod).await.expect("it is there");
    let spec = serde_json::to_value(pod.spec).expect("it is JSON");
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["serviceAccountName"], "slipway-build");
    assert_eq!(spec["enableServiceLinks"], false);
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec[field].is_null(), "{field}: {}", spec[field]);
    }
    let volumes: Vec<&Value> = spec["volumes"].as_array().into_iter().flatten().collect();
    assert_eq!(volumes.len(), 1, "the context, and no token: {volumes:?}");
    let container = &spec["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["privileged"], false);
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    for amount in ["cpu", "memory", "ephemeral-storage"] {
        let limit = &container["resources"]["limits"][amount];
        assert!(limit.is_string(), "no limit of {amount}");
    }
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_builds_namespace_refuses_more_and_is_under_a_network_policy(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(&database, Registry::start(&cluster::host())).await;
    let on_the_nodes_network = json!({
        "metadata": { "name": BuildId::generate().job_name() },
        "spec": { "hostNetwork": true, "containers": [{ "name": "x", "image": "x.test/x:1" }] },
    });
    let try_it = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let refused = world
        .place
        .api::<Pod>()
        .create(&try_it, &object(on_the_nodes_network))
        .await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.message.contains("violates PodSecurity")),
        "{refused:?}"
    );

    let policy = world.place.api::<NetworkPolicy>().get("builds").await;
    let spec = policy
        .expect("the deployment has one")
        .spec
        .expect("it says something");
    assert_eq!(
        spec.pod_selector.unwrap_or_default(),
        Default::default(),
        "all pods"
    );
    assert_eq!(spec.policy_types.unwrap_or_default(), ["Ingress", "Egress"]);
    assert_eq!(spec.ingress, None, "nobody may call a build");
    let blocks = spec
        .egress
        .iter()
        .flatten()
        .flat_map(|rule| rule.to.iter().flatten());
    let blocks: Vec<_> = blocks.filter_map(|peer| peer.ip_block.as_ref()).collect();
    let excepted = blocks.iter().flat_map(|block| block.except.iter().flatten());
    let excepted: Vec<&str> = excepted.map(String::as_str).collect();
    for private in [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fc00::/7",
    ] {
        assert!(
            excepted.contains(&private),
            "{private} is not excepted: {excepted:?}"
        );
    }
    not_run(
        "whether a NetworkPolicy is enforced",
        "the network plugin here enforces none; the policy is there and says what it must",
    );
}
