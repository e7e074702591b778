//! Builds that run and fail: each for its reason, after as many attempts as can help.

use std::path::Path;

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::expected::{failed, succeeded},
    deployed::git::GitHost,
    deployed::refusing::Refusing,
    deployed::report::not_run,
    deployed::world::World,
    support::cluster,
    support::port::Port,
    support::registry::Registry,
};

/// Fills what memory there is. There may be no /dev/zero.
const HUNGRY: &str = "sh -c 'x=0123456789abcdef; while true; do x=$x$x; done'";
/// Fills 300 MB of the disk, and waits for what comes of it.
const GREEDY: &str = "i=0; while test $i -lt 150; do cat /bin/busybox; i=$((i + 1)); done > /big; sleep 100";

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_is_wrong_with_a_dockerfile(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let three = || json!({ "max_retries": 3 });
    let nowhere = format!("FROM {}/team/absent:1\n", world.registry.host);
    let nobody = Port::reserve();
    let away = format!("FROM {}:{nobody}/team/app:1\n", cluster::host());
    world
        .run(vec![
            world.case(
                "RUN exits with 42",
                "FROM BASE\nRUN echo about to fail; exit 42\n",
                three(),
                failed("build_step_failed", "user")
                    .exit(42)
                    .says("exit 42")
                    .logs("about to fail"),
            ),
            world.case(
                "a Dockerfile that cannot be parsed",
                "FROM BASE\nRUNN true\n",
                three(),
                failed("dockerfile_invalid", "user"),
            ),
            world.case(
                "no Dockerfile",
                "FROM BASE\n",
                json!({ "dockerfile": "elsewhere/Dockerfile", "max_retries": 3 }),
                failed("dockerfile_missing", "user"),
            ),
            world.case(
                "COPY of a file that is not there",
                "FROM BASE\nCOPY absent /\n",
                three(),
                failed("build_step_failed", "user"),
            ),
            world.case(
                "a base image that does not exist",
                &nowhere,
                three(),
                failed("base_image_not_found", "user"),
            ),
            world.case(
                "a base image's registry that is away",
                &away,
                json!({ "max_retries": 1 }),
                failed("base_image_unavailable", "infrastructure").attempts(2),
            ),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_is_wrong_with_a_source(_: PgPoolOptions, database: PgConnectOptions) {
    let host = GitHost::start(&cluster::host());
    let world = World::with(&database, &[]).await;
    let dockerfile = world.dockerfile("FROM BASE\n");
    for name in ["app", "private/app"] {
        host.repository(name, std::slice::from_ref(&dockerfile));
    }
    let git = |name: &str, more: serde_json::Value| {
        let mut source = json!({ "url": host.url(name), "sub_path": "image" });
        let more = more.as_object().expect("fields of a source").clone();
        source.as_object_mut().expect("it is an object").extend(more);
        json!({ "git": source })
    };
    let three = || json!({ "max_retries": 3 });
    let once = || json!({ "max_retries": 1 });
    let nobody = Port::reserve();
    let away = json!({ "git": { "url": format!("http://{}:{nobody}/app.git", cluster::host()) } });
    let mut cases = vec![
        world.case_from(
            "git: a repository that does not exist",
            git("absent", json!({})),
            three(),
            failed("source_not_found", "user"),
        ),
        world.case_from(
            "git: a branch that does not exist",
            git("app", json!({ "ref": "refs/heads/absent" })),
            three(),
            failed("revision_not_found", "user"),
        ),
        world.case_from(
            "git: a commit that does not exist",
            git(
                "app",
                json!({ "commit": "0123456789012345678901234567890123456789" }),
            ),
            three(),
            failed("revision_not_found", "user"),
        ),
        world.case_from(
            "git: a private repository, without credentials",
            git("private/app", json!({})),
            three(),
            failed("source_auth_failed", "user"),
        ),
        world.case_from(
            "git: a host that is away",
            away,
            once(),
            failed("source_fetch_failed", "infrastructure").attempts(2),
        ),
    ];
    let plain = json!({ "http": { "url": format!("https://{}/context.tar.gz", world.registry.host) } });
    let name = "http: an archive's host that speaks no TLS";
    if cluster::is_standin() {
        not_run(name, "the stand-in fetches no archives over HTTPS");
    } else {
        let expected = failed("source_fetch_failed", "infrastructure").attempts(2);
        cases.push(world.case_from(name, plain, once(), expected));
    }
    world.run(cases).await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_is_wrong_with_a_destination(_: PgPoolOptions, database: PgConnectOptions) {
    let (at_once, late) = (Refusing::at_once().await, Refusing::late().await);
    let registry = Registry::open(&cluster::host()).await;
    let insecure = [registry.host.as_str(), &at_once.host, &late.host].join(",");
    let mut world = World::new(&database, registry).await;
    world.serve(&[("SLIPWAY_INSECURE_REGISTRIES", &insecure)]).await;
    let to = |hosts: &[&str], retries: u32| {
        let destinations: Vec<String> = hosts.iter().map(|host| format!("{host}/team/app:1")).collect();
        json!({ "destinations": destinations, "max_retries": retries })
    };
    let nobody = Port::reserve();
    let away = format!("{}:{nobody}", cluster::host());
    let good = world.registry.host.as_str();
    let simple = "FROM BASE\nCOPY Dockerfile /\n";
    let case =
        |name, hosts: &[&str], retries, expected| world.case(name, simple, to(hosts, retries), expected);
    world
        .run(vec![
            case(
                "a push that is refused",
                &[&at_once.host],
                3,
                failed("push_denied", "operator").says(&*at_once.host),
            ),
            case(
                "two destinations, the second refused",
                &[good, &at_once.host],
                3,
                failed("push_denied", "operator").says(&*at_once.host),
            ),
            case(
                "two destinations, the second refused after the first push",
                &[good, &late.host],
                3,
                failed("push_denied", "operator").says(&*late.host),
            ),
            case(
                "a registry that is away",
                &[&away],
                1,
                failed("registry_unavailable", "infrastructure").attempts(2),
            ),
        ])
        .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_takes_too_much(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[("SLIPWAY_DISK", "1Mi:100Mi")]).await;
    let little =
        |retries: u32| json!({ "resources": { "cpu": "500m", "memory": "128Mi" }, "max_retries": retries });
    let hungry = format!("FROM BASE\nRUN {HUNGRY}\n");
    let mut cases = vec![
        world.case(
            "memory: RUN takes more than the limit",
            &hungry,
            little(3),
            failed("out_of_memory", "user").any_exit().says("128Mi"),
        ),
        world.case(
            "time: RUN takes longer than the timeout",
            "FROM BASE\nRUN echo before; sleep 600\n",
            // Enough for a busy node to come as far as the step.
            json!({ "timeout_seconds": 20, "max_retries": 3 }),
            failed("timed_out", "policy")
                .any_exit()
                .logs("before")
                .within(20.0..90.0),
        ),
        world.case(
            "disk: RUN writes more than the limit",
            &format!("FROM BASE\nRUN {GREEDY}\n"),
            json!({ "max_retries": 0 }),
            failed("disk_full", "infrastructure")
                .any_exit()
                .within(0.0..120.0),
        ),
    ];
    let name = "memory: RUN outlives what was killed in it";
    if one_process_is_killed() {
        let tolerant = format!("FROM BASE\nRUN {HUNGRY} || echo still here\n");
        cases.push(world.case(name, &tolerant, little(0), succeeded().logs("still here")));
    } else {
        not_run(
            name,
            "with cgroup v2 the kubelet has all processes of the container killed",
        );
    }
    world.run(cases).await;
}

/// Whether the kernel kills one process where memory runs out, and not the whole container.
fn one_process_is_killed() -> bool {
    !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}
