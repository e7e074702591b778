//! Projects whose push is isolated: what runs steps has no credentials for the push, and what has them runs no step.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde_json::{Value, json};
use slipway::domain::BuildId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::case::within,
    deployed::expected::{failed, succeeded},
    deployed::refusing::Refusing,
    deployed::report::not_run,
    deployed::world::World,
    support::cluster,
    support::registry::{self, Registry},
};

/// Looks where credentials are kept, into its environment, and into every file: for the password, written so that the
/// Dockerfile does not hold it itself, and for what may only pull.
const LOOKS: &str = "FROM BASE
RUN cat /kaniko/.docker/config.json || echo nothing there
RUN env; cat /proc/mounts; true
RUN for folder in /*; do \
  case $folder in /proc|/sys|/dev) continue;; esac; \
  grep -rs -e 'correct-hors[e]' -e 'only-pull[s]' $folder && echo found it in $folder; \
done; echo looked everywhere
";
const PULLS_ONLY: &str = "only-pulls";

impl World {
    /// A service on a registry that asks for credentials, which may use `others`, too. The Secret `push` has the
    /// credentials, `wrong` others, and `pull` what a base image's registry asks for.
    async fn locked(database: &PgConnectOptions, base: &Registry, others: &[&str]) -> Self {
        let mut world = World::new(database, Registry::locked(&cluster::host()).await).await;
        world.registry_secret("push", registry::PASSWORD).await;
        world.registry_secret("wrong", "guessed").await;
        world.registry_secret_for("pull", &base.host, PULLS_ONLY).await;
        let insecure = [&[world.registry.host.as_str(), &base.host], others].concat();
        let insecure = insecure.join(",");
        world.serve(&[("SLIPWAY_INSECURE_REGISTRIES", &insecure)]).await;
        world
    }

    /// Makes a project whose builds push to this registry only, in a mode and with a Secret.
    async fn pushing(&self, name: &str, mode: &str, secret: &str) {
        let settings = json!({
            "push_mode": mode, "push_secret": secret, "pull_secret": "pull",
            "destinations": [self.registry.host],
        });
        self.project(name, settings).await;
    }
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_step_cannot_read_what_may_push(_: PgPoolOptions, database: PgConnectOptions) {
    let base = Registry::open(&cluster::host()).await;
    let world = World::locked(&database, &base, &[]).await;
    let looks = LOOKS.replace("BASE", &base.base());
    let mut logs = Vec::new();
    for (mode, name) in [
        ("direct", "push: direct, a step looks around"),
        ("isolated", "push: isolated, a step looks around"),
    ] {
        world.pushing(mode, mode, "push").await;
        let rest = json!({ "project": mode });
        let expected = succeeded().logs("looked everywhere").logs("Pushing image to");
        let case = world.case(name, &looks, rest, expected);
        let id = world.begin(&case).await;
        let row = world.end(&case, &id).await;
        world.report(&[row]);
        logs.push(world.log(&id).await);
        if mode == "isolated" {
            world.only_what_pushes_has_the_secret(&id).await;
        }
    }
    let [direct, isolated] = &logs[..] else {
        panic!("two builds")
    };
    assert!(!isolated.contains(registry::PASSWORD), "{isolated}");
    if cluster::is_standin() {
        not_run(
            "whether a step can read what may push",
            "the stand-in's steps see the image only",
        );
        return;
    }
    assert!(
        direct.contains("found it in /kaniko"),
        "a step can, else: {direct}"
    );
    assert!(direct.contains(registry::PASSWORD), "{direct}");
    assert!(!direct.contains(PULLS_ONLY), "it is not used there: {direct}");
    assert!(isolated.contains(PULLS_ONLY), "a step may read that: {isolated}");
}

impl World {
    async fn only_what_pushes_has_the_secret(&self, id: &str) {
        let id: BuildId = id.parse().expect("a build's id");
        let pod = self.place.pods(id).await.remove(0);
        let pod = self.place.api::<Pod>().get(&pod).await.expect("it is there");
        let spec = serde_json::to_value(pod.spec).expect("it is JSON");
        let volumes = spec["volumes"].as_array().expect("volumes");
        let volume = volumes
            .iter()
            .find(|volume| volume["secret"]["secretName"] == "push");
        let volume = &volume.expect("a volume of the Secret")["name"];
        let has = |container: &Value| {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            mounts.into_iter().any(|mount| mount["name"] == *volume)
        };
        assert_eq!(spec["initContainers"][0]["name"], "build");
        assert!(!has(&spec["initContainers"][0]), "{spec}");
        assert_eq!(spec["containers"][0]["name"], "push");
        assert!(has(&spec["containers"][0]), "{spec}");
        let job = self.place.api::<Job>().get(&id.job_name()).await;
        let job = serde_json::to_string(&job.expect("it is there")).expect("it is JSON");
        assert!(
            !job.contains(registry::PASSWORD) && !job.contains(PULLS_ONLY),
            "{job}"
        );
    }
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_failure_is_that_of_the_container_that_failed(_: PgPoolOptions, database: PgConnectOptions) {
    let base = Registry::open(&cluster::host()).await;
    let (at_once, late) = (Refusing::at_once().await, Refusing::late().await);
    let world = World::locked(&database, &base, &[&at_once.host, &late.host]).await;
    let host = world.registry.host.clone();
    world.pushing("team", "isolated", "push").await;
    world.pushing("guessing", "isolated", "wrong").await;
    let anywhere = json!({ "push_mode": "isolated", "push_secret": "push" });
    world.project("anywhere", anywhere).await;
    let text = |step: &str| format!("FROM {}\nRUN {step}\n", base.base());
    let simple = text("echo built");
    let in_project = |project: &str, destination: &str| {
        let destination = format!("{destination}/team/app:1");
        json!({ "project": project, "destinations": [destination], "max_retries": 3 })
    };
    world
        .run(vec![
            world.case(
                "push: isolated, a step fails",
                &text("exit 42"),
                in_project("team", &host),
                failed("build_step_failed", "user").exit(42).says("exit 42"),
            ),
            world.case(
                "push: isolated, a private base image without a Secret",
                "FROM BASE\nRUN true\n",
                in_project("team", &host),
                failed("base_image_unauthorized", "user"),
            ),
            world.case(
                "push: isolated, a wrong password",
                &simple,
                in_project("guessing", &host),
                failed("registry_unauthorized", "operator")
                    .says(&*host)
                    .logs("built"),
            ),
            world.case(
                "push: isolated, refused when it begins",
                &simple,
                in_project("anywhere", &at_once.host),
                failed("push_denied", "operator")
                    .says(&*at_once.host)
                    .logs("built"),
            ),
            world.case(
                "push: isolated, refused at its end",
                &simple,
                in_project("anywhere", &late.host),
                failed("push_denied", "operator").says(&*late.host).logs("built"),
            ),
        ])
        .await;
    assert_eq!(world.registry.digest("team/app", "1").await, None);
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_cancel_stops_what_builds_and_nothing_is_pushed(_: PgPoolOptions, database: PgConnectOptions) {
    let base = Registry::open(&cluster::host()).await;
    let world = World::locked(&database, &base, &[]).await;
    world.pushing("team", "isolated", "push").await;
    let sleeping = format!("FROM {}\nRUN echo begun; sleep 600\n", base.base());
    let case = world.case(
        "push: isolated, cancelled",
        &sleeping,
        json!({ "project": "team" }),
        succeeded(),
    );
    let id = world.begin(&case).await;
    let begun = within(std::time::Duration::from_secs(120), async || {
        world.log(&id).await.contains("begun\n")
    });
    assert!(begun.await, "it never began: {}", world.service.log());
    assert_eq!(world.service.build(&id).await["phase"], "building");
    world.cancelled(id.parse().expect("a build's id")).await;
    assert_eq!(
        world.registry.digest("team/push-isolated-cancelled", "1").await,
        None
    );
}
