//! What others do to a build that runs: its process killed, its pod or its Job deleted.

use std::{fs, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::{DeleteParams, EvictParams, PropagationPolicy};
use serde_json::json;
use slipway::domain::BuildId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    deployed::case::{Case, within},
    deployed::expected::{Expected, failed, succeeded},
    deployed::report::{Row, not_run},
    deployed::world::World,
    support::cluster,
};

/// Runs long enough for whatever is done to it.
const STEP: &str = "FROM BASE\nRUN echo begun; sleep 10\n";

/// What is done.
#[derive(Clone, Copy)]
enum Act {
    KillProcess,
    DeletePod,
    EvictPod,
    DeleteJob,
    OrphanPod,
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_is_done_to_a_build_behind_our_back(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::with(&database, &[]).await;
    let case = |name, retries: u32, expected: Expected| {
        world.case(name, STEP, json!({ "max_retries": retries }), expected)
    };
    let unknown = || failed("unknown", "infrastructure");
    let mut cases = vec![
        (
            Act::DeletePod,
            case(
                "a pod deleted by hand, with no retry left",
                0,
                unknown().any_exit().pods(0),
            ),
        ),
        (
            Act::DeletePod,
            case("a pod deleted by hand", 1, succeeded().attempts(2).pods(1)),
        ),
        (
            Act::EvictPod,
            case(
                "a pod evicted, which is not counted",
                0,
                succeeded().attempts(2).counted(0).pods(1),
            ),
        ),
        (
            Act::DeleteJob,
            case(
                "a Job deleted by hand, and made again",
                0,
                succeeded().attempts(2).counted(0).pods(1),
            ),
        ),
        (
            Act::OrphanPod,
            case(
                "a Job deleted under its pod, which goes on",
                0,
                succeeded().without_job(),
            ),
        ),
    ];
    let killed = [
        case(
            "a builder killed, with no retry left",
            0,
            unknown().exit(137).says("SIGKILL"),
        ),
        case("a builder killed, and tried again", 1, succeeded().attempts(2)),
    ];
    for case in killed {
        if cluster::nodes_are_here() {
            cases.push((Act::KillProcess, case));
        } else {
            not_run(case.name, "the nodes' processes are not on this machine");
        }
    }
    let rows = join_all(cases.iter().map(|(act, case)| world.disturbed(*act, case)));
    world.report(&rows.await);
}

impl World {
    async fn disturbed(&self, act: Act, case: &Case) -> Row {
        let id = self.begin(case).await;
        let begun = within(Duration::from_secs(120), async || {
            self.log(&id).await.contains("begun\n")
        });
        assert!(begun.await, "{}: it never began", case.name);
        let id: BuildId = id.parse().expect("a build's id");
        match act {
            Act::KillProcess => kill_builder(case),
            _ => self.act(act, id).await.expect("the API server takes it"),
        }
        self.end(case, &id.to_string()).await
    }

    async fn act(&self, act: Act, id: BuildId) -> kube::Result<()> {
        let (jobs, pods) = (self.place.api::<Job>(), self.place.api::<Pod>());
        let pod = self.place.pods(id).await.remove(0);
        let background = DeleteParams::background();
        match act {
            Act::KillProcess => {}
            Act::DeletePod => drop(pods.delete(&pod, &background).await?),
            Act::EvictPod => drop(pods.evict(&pod, &EvictParams::default()).await?),
            Act::DeleteJob => drop(jobs.delete(&id.job_name(), &background).await?),
            Act::OrphanPod => {
                let orphan = DeleteParams {
                    propagation_policy: Some(PropagationPolicy::Orphan),
                    ..DeleteParams::default()
                };
                drop(jobs.delete(&id.job_name(), &orphan).await?);
            }
        }
        Ok(())
    }
}

/// Kills the executor that pushes to the case's destination: the container's first process, which is on this machine.
fn kill_builder(case: &Case) {
    let destination = case.request["destinations"][0].as_str().expect("a destination");
    let flag = format!("--destination={destination}");
    let processes = fs::read_dir("/proc").expect("/proc can be read");
    let builder = processes.flatten().find(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == flag.as_bytes())
    });
    let pid = builder.expect("the builder runs on this machine").file_name();
    let killed = std::process::Command::new("kill").arg("-KILL").arg(pid).status();
    assert!(killed.expect("`kill` runs").success());
}
