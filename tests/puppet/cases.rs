//! Every recorded case, played again to the whole service: the table says how each ends.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use slipway::domain::{BuildId, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::deletions,
    puppet::node::now,
    puppet::recorded::Recorded,
    puppet::waiting,
    puppet::world::{World, end, story},
};

/// How a case ends.
pub struct Case {
    pub name: &'static str,
    pub state: State,
    pub reason: Option<&'static str>,
    pub exit_code: Option<i32>,
    /// Failed attempts, with one retry allowed.
    pub retries: u32,
    pub pods: usize,
}

const fn failed(name: &'static str, reason: &'static str, exit_code: i32, pods: usize) -> Case {
    let retries = if pods == 1 { 1 } else { 2 };
    Case {
        name,
        state: State::Failed,
        reason: Some(reason),
        exit_code: Some(exit_code),
        retries,
        pods,
    }
}

const fn succeeded(name: &'static str) -> Case {
    Case {
        name,
        state: State::Succeeded,
        reason: None,
        exit_code: None,
        retries: 0,
        pods: 1,
    }
}

/// Cases whose pods come to an end.
pub const ENDINGS: [Case; 19] = [
    failed("backoff-2-never", "build_step_failed", 42, 1),
    failed("bad-dockerfile", "dockerfile_invalid", 1, 1),
    failed("command-missing", "launch_failed", 128, 1),
    failed("destination-invalid", "push_failed", 1, 2),
    failed("destination-refused", "registry_unavailable", 1, 2),
    failed("destination-refused-late", "registry_unavailable", 1, 2),
    failed("failure-policy-137", "build_step_failed", 42, 1),
    failed("git-missing", "source_not_found", 1, 1),
    succeeded("no-caps"),
    failed("no-dockerfile", "dockerfile_missing", 1, 1),
    succeeded("noisy-log"),
    failed("non-root", "unknown", 1, 2),
    succeeded("ok"),
    succeeded("oom-executor"),
    failed("oom-executor-start", "out_of_memory", 137, 1),
    failed("oom-in-run", "out_of_memory", 137, 1),
    failed("push-no-credentials", "registry_unauthorized", 1, 1),
    failed("read-only-rootfs", "unknown", 1, 2),
    failed("run-exit-42", "build_step_failed", 42, 1),
];

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_was_recorded_ends_as_its_cause_says(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let played = ENDINGS.iter().map(|case| play(world, case));
            let seen = futures::future::join_all(played).await;
            let wrong: Vec<_> = seen.into_iter().flatten().collect();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        },
    )
    .await;
}

/// Plays a case with each pod that the Job makes, until the build has ended: what was not as expected.
async fn play(world: &World, case: &Case) -> Option<String> {
    let id = world.submit(json!({ "max_retries": 1 })).await;
    let recorded = Recorded::load(case.name);
    let ended = tokio::select! {
        ended = world.until_ended(id) => ended,
        () = play_pods(world, id, &recorded, case.pods > 1) => unreachable!("there may always be another pod"),
    };
    // Once it has ended, so has its Job: no pod comes after this.
    let failed_or_complete = |seen: &crate::puppet::chronicle::Seen| {
        let conditions = seen.job(id)?.status.as_ref()?.conditions.clone()?;
        conditions
            .iter()
            .any(|found| matches!(found.type_.as_str(), "Complete" | "Failed"))
            .then_some(())
    };
    world.chronicle.until("the Job's end", failed_or_complete).await;
    let attempts = world.attempts(id).await;
    let expected = (
        (case.state, case.reason, case.exit_code),
        case.retries,
        case.pods,
        case.pods,
    );
    let pods = world.chronicle.seen().pods_of(id).count();
    let seen = (end(&ended), ended.retries, pods, attempts.len());
    println!("{:25} {seen:?}", case.name);
    let log_is_kept = world.keeps_log(id, 1, recorded.log()).await;
    (seen != expected || !log_is_kept).then(|| {
        format!(
            "{}: expected {expected:?}, seen {seen:?}, log kept: {log_is_kept}\n{ended:?}\n{attempts:?}",
            case.name
        )
    })
}

/// Where another try is to be made it comes at once; where it is not, there is time enough to prevent it, however slow
/// the machine.
async fn play_pods(world: &World, id: BuildId, recorded: &Recorded, again: bool) {
    let pause = SignedDuration::from_secs(if again { -10 } else { 60 });
    for number in 1.. {
        let pod = next_pod(world, id, number).await;
        if recorded.ran() {
            world.kubelet.starts(&pod).await;
            world.kubelet.prints(&pod, recorded.log());
        } else {
            world.kubelet.bind(&pod).await;
        }
        assert!(world.kubelet.shows(&pod, recorded.status_at(now() + pause)).await);
    }
}

/// As long as it takes: the build's end is what is waited for.
async fn next_pod(world: &World, id: BuildId, number: usize) -> String {
    loop {
        let found = world.chronicle.seen().pod_names(id).nth(number - 1);
        if let Some(pod) = found {
            return pod;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn no_recorded_case_is_left_out() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes");
    let files = std::fs::read_dir(folder).expect("the fixtures are there");
    let names = files.filter_map(|entry| entry.expect("readable").file_name().into_string().ok());
    let mut recorded: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".job.yaml")?.to_owned()))
        .collect();
    recorded.sort();
    let waits = waiting::WAITS.map(|(case, ..)| case);
    let told = deletions::TOLD
        .iter()
        .chain(&waits)
        .chain(&deletions::WITHOUT_POD)
        .copied();
    let mut played: Vec<&str> = ENDINGS.iter().map(|case| case.name).chain(told).collect();
    played.sort_unstable();
    assert_eq!(played, recorded);
}
