//! State that lasts as long as a session: migrations, the observer's lock, wake-ups. And races to end a
//! build.

use std::time::Instant;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::{Failure, Reason, State};

/// Repeats the check until it is true, for an effect of another session.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[sqlx::test(migrations = false)]
async fn two_replicas_migrate_at_once(pool: PgPool) {
    let stores = [store(&pool), store(&pool)];
    assert!(matches!(stores[0].ready().await, Err(StoreError::Unavailable(_))));
    let (a, b) = tokio::join!(stores[0].migrate(), stores[1].migrate());
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    stores[0].ready().await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version % 10 = 3")
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(stores[0].ready().await, Err(StoreError::Unavailable(_))));
}

#[sqlx::test]
async fn a_newer_replicas_migrations_do_no_harm(pool: PgPool) {
    let store = store(&pool);
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99999999999999, 'from the future', true, '\\x00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    store.migrate().await.unwrap();
    store.ready().await.unwrap();
}

#[sqlx::test]
async fn one_replica_observes_and_another_takes_over(pool: PgPool) {
    let stores = [store(&pool), store(&pool)];
    let mut lock = stores[0]
        .become_observer()
        .await
        .unwrap()
        .expect("nobody else observes");
    assert!(lock.held().await);
    assert!(stores[1].become_observer().await.unwrap().is_none());
    drop(lock);
    let mut lock = None;
    eventually("the role was given up", async || {
        lock = stores[1].become_observer().await.unwrap();
        lock.is_some()
    })
    .await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 1936484471 AND objid = 2
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut lock = lock.expect("it was taken");
    eventually("the loss is noticed", async || !lock.held().await).await;
    // A session that is ended reports it before it releases its locks.
    eventually("another takes over", async || {
        stores[0].become_observer().await.unwrap().is_some()
    })
    .await;
}

#[sqlx::test]
async fn a_wake_is_heard_by_another_replica(pool: PgPool) {
    let (here, there) = (store(&pool), store(&pool));
    let stop = CancellationToken::new();
    for store in [&here, &there] {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move { store.run_wakeups(stop).await });
    }
    eventually("both listen", async || {
        let listening: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND query ILIKE 'LISTEN%' AND state = 'idle'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        listening == 2
    })
    .await;
    // A poll comes after half a second at the earliest.
    eventually("the notification arrives before the poll", async || {
        let mut wakeup = there.wakeup(Topic::Cancel);
        here.wake(Topic::Cancel);
        let begun = Instant::now();
        wakeup.wait().await;
        begun.elapsed() < Duration::from_millis(450)
    })
    .await;
    stop.cancel();
}

#[sqlx::test]
async fn a_lost_notification_is_made_up_for_by_the_poll(pool: PgPool) {
    let store = store(&pool);
    let mut wakeup = store.wakeup(Topic::Queue);
    tokio::time::timeout(Duration::from_secs(5), wakeup.wait())
        .await
        .expect("it looks by itself");
}

#[sqlx::test]
async fn a_wake_between_the_look_and_the_wait_is_not_lost(pool: PgPool) {
    let store = store(&pool);
    let mut wakeup = store.wakeup(Topic::Queue);
    store.wake(Topic::Queue);
    store.wake(Topic::Cancel);
    assert!(wakeup.wait().now_or_never().is_some());
}

#[sqlx::test]
async fn of_a_cancel_and_a_completion_one_wins(pool: PgPool) {
    let store = store(&pool);
    let mut won = [0, 0];
    for round in 0..200 {
        let id = running(&store, "team").await;
        let failed = Outcome::Failed(Failure::new(Reason::Unknown, "?"));
        let cancel = async {
            for _ in 0..round % 3 {
                tokio::task::yield_now().await;
            }
            store.cancel(id).await
        };
        let (cancelled, finished) = tokio::join!(cancel, store.finish(id, &failed, &[], 0));
        let finished = finished.unwrap();
        match cancelled.unwrap().unwrap() {
            Cancelled::Accepted(build) => {
                assert_eq!((build.state, finished), (State::Cancelling, false));
                assert!(store.cancelled(id).await.unwrap());
                won[0] += 1;
            }
            Cancelled::Ended(build) => {
                assert_eq!((build.state, finished), (State::Failed, true));
                won[1] += 1;
            }
        }
        let history = history(&store, id).await;
        let ends = history
            .iter()
            .filter(|state| *state == "failed" || *state == "cancelled")
            .count();
        assert_eq!(ends, 1, "{history:?}");
    }
    assert_eq!(won[0] + won[1], 200);
}

#[sqlx::test]
async fn sessions_are_bounded_and_creation_is_planned_once(pool: PgPool) {
    use sqlx::ConnectOptions;
    let options = |direct: bool| {
        let url = pool.connect_options().to_url_lossy().to_string();
        StoreOptions {
            direct_url: direct.then(|| url.clone().into()),
            url: url.into(),
            max_connections: 2,
            acquire_timeout: Duration::from_secs(10),
            notify: false,
        }
    };
    let show = async |pool: &PgPool, setting: &'static str| -> String {
        sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await
            .unwrap()
    };
    let store = Store::connect(&options(false)).unwrap();
    assert_eq!(show(&store.pool, "statement_timeout").await, "30s");
    assert_eq!(show(&store.pool, "plan_cache_mode").await, "auto");
    assert_eq!(
        show(store.creating.released(), "plan_cache_mode").await,
        "force_generic_plan"
    );
    assert_eq!(show(store.creating.released(), "statement_timeout").await, "30s");
    // Through a pooler nothing is set, because the pooler would refuse the connection.
    let store = Store::connect(&options(true)).unwrap();
    assert_eq!(show(store.creating.released(), "plan_cache_mode").await, "auto");
    assert_eq!(show(&store.pool, "statement_timeout").await, "0");
    assert_eq!(show(&store.direct, "statement_timeout").await, "30s");
}
