//! What is kept of each attempt: where and when it ran, how it ended, and its log, whatever its node does meanwhile.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::json;
use slipway::domain::{AttemptState, Reason, State};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    puppet::logs::Fault,
    puppet::node::now,
    puppet::recorded::Recorded,
    puppet::world::{end, story},
};

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn each_attempt_is_kept_with_all_that_is_known_of_it(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({ "max_retries": 1 })).await;
            let refused = Recorded::load("destination-refused");
            world.kubelet.prints(&pod, refused.log());
            assert!(world.kubelet.ends(&pod, 1, None).await);
            let second = world.chronicle.pod(id, 2).await;
            world.kubelet.starts(&second).await;
            world.kubelet.prints(&second, Recorded::load("ok").log());
            assert!(world.kubelet.ends(&second, 0, None).await);
            world.until_ended(id).await;
            let attempts = world.attempts(id).await;
            let [first, last] = &attempts[..] else {
                panic!("{attempts:?}")
            };
            assert_eq!((&first.name, &last.name), (&pod, &second));
            assert_eq!(
                (first.state, last.state),
                (AttemptState::Failed, AttemptState::Succeeded)
            );
            assert_eq!((first.exit_code, last.exit_code), (Some(1), Some(0)));
            let failure = first.failure.as_ref().expect("it failed");
            assert_eq!(failure.reason, Reason::RegistryUnavailable);
            assert!(
                failure
                    .log_snippet
                    .as_ref()
                    .is_some_and(|lines| lines.contains("connection refused"))
            );
            for attempt in &attempts {
                assert_eq!(attempt.node.as_deref(), Some(world.kubelet.node.name.as_str()));
                assert!(
                    attempt.started_at.is_some() && attempt.finished_at >= attempt.started_at,
                    "{attempt:?}"
                );
            }
            assert!(last.started_at >= first.finished_at);
            assert_eq!(
                world.until_log(id, 1, |_, whole| whole).await.as_bytes(),
                refused.log()
            );
            assert_eq!(
                world.until_log(id, 2, |_, whole| whole).await.as_bytes(),
                Recorded::load("ok").log()
            );
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_log_is_read_while_it_is_written(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let (id, pod) = world.running_build(json!({})).await;
            let mut written = String::new();
            for line in 0..5 {
                let line = format!("line {line}\n");
                world.kubelet.prints(&pod, &line);
                written.push_str(&line);
                let began = Instant::now();
                world
                    .until_log(id, 1, |text, whole| text == written && !whole)
                    .await;
                println!("a line was readable after {:?}", began.elapsed());
            }
            assert_eq!(world.kubelet.logs.follows(&pod), 1, "one connection is enough");
            assert!(world.kubelet.ends(&pod, 0, None).await);
            assert_eq!(world.until_log(id, 1, |_, whole| whole).await, written);
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_log_that_breaks_is_taken_up_where_it_broke(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let id = world.submit(json!({})).await;
            let pod = world.chronicle.pod(id, 1).await;
            world.kubelet.prints(&pod, "one\ntwo\nthree\n");
            world.kubelet.logs.fault(&pod, Fault::Breaks(6));
            world.kubelet.starts(&pod).await;
            world
                .until_log(id, 1, |text, _| text == "one\ntwo\nthree\n")
                .await;
            world.kubelet.logs.fault(&pod, Fault::Breaks(18));
            world.kubelet.prints(&pod, "four\nfive\n");
            assert!(world.kubelet.ends(&pod, 0, None).await);
            assert_eq!(
                world.until_log(id, 1, |_, whole| whole).await,
                "one\ntwo\nthree\nfour\nfive\n"
            );
            assert_eq!(end(&world.until_ended(id).await), (State::Succeeded, None, None));
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_log_that_breaks_after_its_container_has_ended_is_whole_in_the_end(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let id = world.submit(json!({})).await;
            let pod = world.chronicle.pod(id, 1).await;
            world.stop().await;
            world.kubelet.starts(&pod).await;
            let text = "a line of some length\n".repeat(5000);
            world.kubelet.prints(&pod, &text);
            assert!(world.kubelet.ends(&pod, 0, None).await);
            world.kubelet.logs.fault(&pod, Fault::Breaks(60_000));
            world.start();
            let stored = world.until_log(id, 1, |_, whole| whole).await;
            assert_eq!((stored.len(), stored == text), (text.len(), true));
            world.until_ended(id).await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_log_that_is_refused_for_a_while_is_read_later(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            futures::future::join_all([400, 500, 503].map(async |status| {
                let id = world.submit(json!({})).await;
                let pod = world.chronicle.pod(id, 1).await;
                world.kubelet.prints(&pod, "one\n");
                world.kubelet.logs.fault(&pod, Fault::Refused(status));
                world.kubelet.starts(&pod).await;
                world
                    .until(id, "it runs without its log", |build| build.started_at.is_some())
                    .await;
                world.kubelet.logs.until_asked(&pod, 2).await;
                world.kubelet.logs.fault(&pod, None);
                world.until_log(id, 1, |text, _| text == "one\n").await;
                assert!(world.kubelet.ends(&pod, 0, None).await);
                world
                    .until_log(id, 1, |text, whole| whole && text == "one\n")
                    .await;
            }))
            .await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_last_words_in_the_status_do_where_the_log_cannot_be_had(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    story(
        database,
        |_| {},
        async |world| {
            let faults = [Fault::Refused(500), Fault::Refused(404), Fault::Silent];
            futures::future::join_all(faults.map(async |fault| {
                let (id, pod) = world.running_build(json!({ "max_retries": 3 })).await;
                world.kubelet.logs.fault(&pod, fault);
                let recorded = Recorded::load("run-exit-42");
                let began = Instant::now();
                // Another try would begin in 15 s.
                assert!(
                    world
                        .kubelet
                        .shows(&pod, recorded.status_at(now() + SignedDuration::from_secs(5)))
                        .await
                );
                let ended = world.until_ended(id).await;
                println!("{fault:?}: known after {:?}", began.elapsed());
                assert_eq!(
                    end(&ended),
                    (State::Failed, Some("build_step_failed"), Some(42)),
                    "{fault:?}: {ended:?}"
                );
                let pods = world.chronicle.seen().pods_of(id).count();
                assert_eq!(
                    (ended.retries, pods),
                    (1, 1),
                    "{fault:?}: what is pointless was tried again"
                );
            }))
            .await;
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_success_is_to_be_seen_before_its_job_is_complete(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let mut waits = Vec::new();
            for _ in 0..5 {
                let (id, pod) = world.running_build(json!({})).await;
                let began = Instant::now();
                assert!(world.kubelet.ends(&pod, 0, None).await);
                world
                    .until_attempt(id, "it has succeeded", |one| one.state == AttemptState::Succeeded)
                    .await;
                let visible = began.elapsed();
                let complete = world
                    .chronicle
                    .seen()
                    .job(id)
                    .and_then(|job| job.status.as_ref()?.completion_time.clone());
                assert!(complete.is_none(), "the Job was complete before that");
                world.until_ended(id).await;
                waits.push((visible, began.elapsed()));
            }
            println!("from the container's end to the attempt's, and to the build's: {waits:?}");
            assert!(
                waits.iter().all(|(visible, _)| *visible < Duration::from_secs(2)),
                "{waits:?}"
            );
        },
    )
    .await;
}

#[sqlx::test(migrations = false)]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_silent_node_does_not_hold_up_the_builds_of_others(_: PgPoolOptions, database: PgConnectOptions) {
    story(
        database,
        |_| {},
        async |world| {
            let mut silent = Vec::new();
            for _ in 0..40 {
                let (id, pod) = world.running_build(json!({})).await;
                world.kubelet.logs.fault(&pod, Fault::Silent);
                silent.push((id, pod));
            }
            let (id, pod) = world.running_build(json!({})).await;
            world.stop().await;
            world.start();
            let began = Instant::now();
            assert!(world.kubelet.ends(&pod, 0, None).await);
            world.until_ended(id).await;
            println!(
                "beside 40 builds on a silent node, a success was recorded after {:?}",
                began.elapsed()
            );
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            for (_, pod) in &silent {
                world.kubelet.logs.fault(pod, None);
                assert!(world.kubelet.ends(pod, 0, None).await);
            }
            for (id, _) in &silent {
                world.until_ended(*id).await;
            }
        },
    )
    .await;
}
