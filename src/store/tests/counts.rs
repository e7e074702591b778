//! The counts of the queue, compared with the queue.

use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;
use crate::domain::{Failure, Reason};

type Lanes = Vec<(i64, i16, i64)>;

/// Returns the queued builds by project and priority: counted in the table, and according to the counts.
async fn both(pool: &PgPool) -> (Lanes, Lanes) {
    let lanes = async |sql: &'static str| sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    let truth = "SELECT project_id, priority, count(*) FROM builds WHERE state = 'queued' GROUP BY 1, 2 ORDER BY 1, 2";
    let counts = "SELECT project_id, priority, sum(queued)::bigint FROM lane_counts GROUP BY 1, 2
        HAVING sum(queued) <> 0 ORDER BY 1, 2";
    (lanes(truth).await, lanes(counts).await)
}

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM lane_counts")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Makes one random change of the queue, or one upkeep of its counts.
async fn act(store: &Store, creator: &Creator, random: &mut StdRng, known: &[BuildId]) {
    let failure = Failure::new(Reason::LaunchFailed, "no");
    let id = known.choose(random).copied().unwrap_or_else(BuildId::generate);
    match random.random_range(0..9) {
        0 | 1 => {
            let mut build = new_build(["a", "b", "c"].choose(random).unwrap());
            build.spec.priority = Priority::try_from(random.random_range(-1..=1)).unwrap();
            let _ = creator.create(build).await;
        }
        2..=4 => {
            for claim in store.claim(PLENTY, LEASE, 3).await.unwrap_or_default() {
                let _ = match random.random_range(0..3) {
                    0 => store.release(claim.id, claim.token, Duration::ZERO).await,
                    1 => store.launch_failed(claim.id, claim.token, &failure).await,
                    _ => store.launched(claim.id, claim.token, "uid").await,
                };
            }
        }
        5 => drop(store.cancel(id).await),
        6 => drop(store.relaunch(id, LEASE).await),
        7 => drop(store.fold_counts().await),
        _ => drop(store.recount().await),
    }
}

#[sqlx::test]
async fn the_counts_are_the_queue_whatever_is_done_at_once_and_cut_off(pool: PgPool) {
    let stores: Vec<_> = (0..4).map(|_| store(&pool)).collect();
    let creator = creator(&stores[0]);
    for round in 0..6_u64 {
        let known: Vec<BuildId> = sqlx::query_scalar("SELECT id FROM builds")
            .fetch_all(&pool)
            .await
            .unwrap()
            .into_iter()
            .map(BuildId)
            .collect();
        join_all(stores.iter().zip(0..).map(async |(store, nth)| {
            let mut random = StdRng::seed_from_u64(round * 100 + nth);
            for _ in 0..12 {
                // Some changes are dropped in the middle, as in a crash.
                let patience = Duration::from_micros(random.random_range(200..40_000));
                let _ = tokio::time::timeout(patience, act(store, &creator, &mut random, &known)).await;
            }
        }))
        .await;
        // A dropped change may still be ending in the database.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (truth, counts) = both(&pool).await;
            if truth == counts {
                break;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "round {round}: {truth:?} {counts:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[sqlx::test]
async fn rows_are_put_together_and_empty_lanes_leave_none(pool: PgPool) {
    let store = store(&pool);
    store.counts.rest();
    for _ in 0..5 {
        queued(&store, "team", 0).await;
    }
    store.fold_counts().await.unwrap();
    assert_eq!(rows(&pool).await, 1);
    assert_eq!(store.claim(PLENTY, LEASE, 10).await.unwrap().len(), 5);
    store.fold_counts().await.unwrap();
    assert_eq!(rows(&pool).await, 0);
}

#[sqlx::test]
async fn what_an_older_release_did_not_count_is_put_right(pool: PgPool) {
    let store = store(&pool);
    store.counts.rest();
    for _ in 0..3 {
        queued(&store, "team", 0).await;
    }
    sqlx::query("UPDATE builds SET state = 'superseded', finished_at = now() WHERE id = (SELECT max(id::text)::uuid FROM builds)")
        .execute(&pool)
        .await
        .unwrap();
    let (truth, counts) = both(&pool).await;
    assert_ne!(truth, counts);
    // A creation that has not committed is in neither of the two.
    let mut open = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO lane_counts (project_id, priority, queued) VALUES (1, 0, 1)")
        .execute(&mut *open)
        .await
        .unwrap();
    store.recount().await.unwrap();
    open.rollback().await.unwrap();
    let (truth, counts) = both(&pool).await;
    assert_eq!(truth, counts);
}
