//! Watchers of a build are woken by every change of it, in this process and in others.

use std::time::Instant;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::{Failure, Reason};

/// Upper bound of a signal's delay: a poll comes after half a second at the earliest.
const BEFORE_THE_POLL: Duration = Duration::from_millis(450);

/// Returns true if the watch has been woken once `change` is over.
async fn wakes(watch: &mut BuildWatch, change: impl Future<Output = ()>) -> bool {
    change.await;
    watch.changed().now_or_never().is_some()
}

/// Returns true if a wake-up arrives before the poll: one from another process, or one that should not come.
async fn hears(watch: &mut BuildWatch) -> bool {
    let begun = Instant::now();
    watch.changed().await;
    begun.elapsed() < BEFORE_THE_POLL
}

fn building() -> Outcome {
    Outcome::Running {
        phase: Phase::Building,
    }
}

/// Returns the stores of two processes, whose wake-ups run.
async fn connected(pool: &PgPool, stop: &CancellationToken) -> (Store, Store) {
    let stores = (store(pool), store(pool));
    for store in [&stores.0, &stores.1] {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move { store.run_wakeups(stop).await });
    }
    let listening = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND query ILIKE 'LISTEN%' AND state = 'idle'";
    let both = async {
        while sqlx::query_scalar::<_, i64>(listening)
            .fetch_one(pool)
            .await
            .unwrap()
            < 2
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("both listen");
    stores
}

#[sqlx::test]
async fn every_writer_wakes_those_who_watch_its_build(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let mut watch = store.watch_build(id);
    let mut claims = Vec::new();
    assert!(
        wakes(&mut watch, async {
            claims = store.claim(PLENTY, LEASE, 10).await.unwrap();
        })
        .await,
        "a claim"
    );
    let token = claims[0].token;
    assert!(
        wakes(&mut watch, async {
            assert!(store.launched(id, token, "uid-1").await.unwrap());
        })
        .await,
        "a launch"
    );
    assert!(
        wakes(&mut watch, async {
            store
                .observe(id, &building(), &[running_pod("pod-a")], 0)
                .await
                .unwrap();
        })
        .await,
        "a sighting"
    );
    let mut log = store.watch_log(id);
    assert!(
        wakes(&mut log, async {
            assert!(store.append_log(id, "pod-a", 0, b"one\n").await.unwrap());
        })
        .await,
        "a longer log"
    );
    assert!(
        wakes(&mut log, async { store.complete_log(id, "pod-a").await.unwrap() }).await,
        "a whole log"
    );
    assert!(
        wakes(&mut watch, async {
            store.cancel(id).await.unwrap();
        })
        .await,
        "a request to cancel"
    );
    assert!(
        wakes(&mut watch, async {
            assert!(store.cancelled(id).await.unwrap());
        })
        .await,
        "a cancelled build"
    );
}

#[sqlx::test]
async fn the_end_of_a_build_wakes_and_what_changes_nothing_does_not(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    store.observe(id, &building(), &[], 0).await.unwrap();
    let (mut watch, mut log) = (store.watch_build(id), store.watch_log(id));
    store.observe(id, &building(), &[], 0).await.unwrap();
    store.append_log(id, "pod-a", 0, b"one\n").await.unwrap();
    assert!(!hears(&mut watch).await, "the same sighting, and bytes of a log");
    let failed = Outcome::Failed(Failure::new(Reason::Unknown, "?"));
    assert!(
        wakes(&mut watch, async {
            assert!(store.finish(id, &failed, &[], 0).await.unwrap());
        })
        .await
    );
    assert!(
        wakes(&mut log, async {}).await,
        "who follows its log knows as well"
    );
    let other = running(&store, "team").await;
    store.observe(other, &building(), &[], 0).await.unwrap();
    assert!(!hears(&mut watch).await, "another build");
}

#[sqlx::test]
async fn a_change_in_one_process_is_heard_in_another(pool: PgPool) {
    let stop = CancellationToken::new();
    let (here, there) = connected(&pool, &stop).await;
    let id = running(&here, "team").await;
    let (mut watch, mut any) = (there.watch_build(id), there.watch_builds());
    let mut log = there.watch_log(id);
    // A busy machine may take longer than the poll: one success in several tries is enough.
    let mut heard = [false; 3];
    for round in 0..20_u64 {
        here.append_log(id, "pod-a", round, b"x").await.unwrap();
        heard[0] |= hears(&mut log).await;
        here.build_changed(id);
        heard[1] |= hears(&mut watch).await;
        let begun = Instant::now();
        any.wait().await;
        heard[2] |= begun.elapsed() < BEFORE_THE_POLL;
        if heard == [true; 3] {
            break;
        }
    }
    assert_eq!(heard, [true; 3]);
    stop.cancel();
}

#[sqlx::test]
async fn more_builds_than_a_notification_holds_wake_everybody(pool: PgPool) {
    let stop = CancellationToken::new();
    let (here, there) = connected(&pool, &stop).await;
    let many: Vec<BuildId> = (0..1000).map(|_| BuildId::generate()).collect();
    let mut watch = there.watch_build(many[999]);
    let mut heard = false;
    for _ in 0..20 {
        here.builds_changed(&many);
        heard |= hears(&mut watch).await;
        if heard {
            break;
        }
    }
    assert!(heard);
    stop.cancel();
}

#[sqlx::test]
async fn a_notification_that_is_lost_is_made_up_for_by_the_poll(pool: PgPool) {
    // Neither of the two sends or receives wake-ups.
    let (here, there) = (store(&pool), store(&pool));
    let id = running(&here, "team").await;
    let mut watch = there.watch_build(id);
    let failed = Outcome::Failed(Failure::new(Reason::Unknown, "?"));
    assert!(here.finish(id, &failed, &[], 0).await.unwrap());
    tokio::time::timeout(Duration::from_secs(5), watch.changed())
        .await
        .expect("it looks by itself");
    assert!(get(&there, id).await.state.is_terminal());
}

#[sqlx::test]
async fn a_change_between_the_look_and_the_wait_is_not_lost(pool: PgPool) {
    let store = store(&pool);
    let id = BuildId::generate();
    let mut watch = store.watch_build(id);
    store.build_changed(id);
    assert!(wakes(&mut watch, async {}).await);
    assert!(!hears(&mut watch).await, "one change wakes once");
}

#[sqlx::test]
async fn watches_that_are_dropped_leave_nothing_behind(pool: PgPool) {
    let store = store(&pool);
    let id = BuildId::generate();
    let (one, two, log) = (store.watch_build(id), store.watch_build(id), store.watch_log(id));
    drop(one);
    assert_eq!(store.watched(), 2);
    drop((two, log));
    assert_eq!(store.watched(), 0);
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut watch = store.watch_build(if n % 2 == 0 { id } else { BuildId::generate() });
                store.build_changed(id);
                tokio::select! {
                    () = watch.changed() => {}
                    () = tokio::task::yield_now() => {}
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.watched(), 0);
}

#[sqlx::test]
async fn what_is_to_be_told_stays_bounded_while_nobody_tells(pool: PgPool) {
    let store = store(&pool);
    for _ in 0..100 {
        let ids: Vec<BuildId> = (0..64).map(|_| BuildId::generate()).collect();
        store.builds_changed(&ids);
    }
    assert_eq!(store.untold().as_deref(), Some("*"));
    let one = BuildId::generate();
    store.builds_changed(&[one, one]);
    assert_eq!(store.untold(), Some(one.0.simple().to_string()));
    assert_eq!(store.untold(), None);
}
