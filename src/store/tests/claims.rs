//! Claims: their order, their limits, and a cost that does not grow.

use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;

use super::*;
use crate::domain::State;

async fn limit(pool: &PgPool, project: &str, max_running: Option<i32>, weight: i32) {
    sqlx::query(
        "INSERT INTO projects (name, max_running, weight) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET max_running = excluded.max_running, weight = excluded.weight",
    )
    .bind(project)
    .bind(max_running)
    .bind(weight)
    .execute(pool)
    .await
    .unwrap();
}

async fn claimed(store: &Store, slots: Slots, limit: u32) -> Vec<BuildId> {
    let claims = store.claim(slots, LEASE, limit).await.unwrap();
    claims.into_iter().map(|claim| claim.id).collect()
}

/// Returns the floor of the only lane, in seconds before now.
async fn floor_age(pool: &PgPool) -> f64 {
    sqlx::query_scalar("SELECT extract(epoch FROM now() - floor)::float8 FROM lanes")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test]
async fn higher_priority_first_then_age(pool: PgPool) {
    let store = store(&pool);
    let low = queued(&store, "team", -5).await;
    let old = queued(&store, "team", 0).await;
    let young = queued(&store, "team", 0).await;
    let high = queued(&store, "team", 100).await;
    assert_eq!(claimed(&store, PLENTY, 10).await, [high, old, young, low]);
}

#[sqlx::test]
async fn slots_go_to_the_project_with_the_least_share(pool: PgPool) {
    let store = store(&pool);
    limit(&pool, "heavy", None, 3).await;
    for _ in 0..8 {
        queued(&store, "heavy", 0).await;
        queued(&store, "light", 0).await;
    }
    let slots = Slots {
        total: 8,
        per_project: 100,
    };
    let claims = store.claim(slots, LEASE, 100).await.unwrap();
    let heavy = claims
        .iter()
        .filter(|claim| claim.spec.project.as_str() == "heavy")
        .count();
    assert_eq!((claims.len(), heavy), (8, 6));
}

#[sqlx::test]
async fn a_project_never_gets_more_than_its_own_limit_or_the_default(pool: PgPool) {
    let store = store(&pool);
    limit(&pool, "one", Some(1), 1).await;
    limit(&pool, "none", Some(0), 1).await;
    for project in ["one", "none", "other"] {
        for _ in 0..5 {
            queued(&store, project, 0).await;
        }
    }
    let slots = Slots {
        total: 100,
        per_project: 3,
    };
    let claims = store.claim(slots, LEASE, 100).await.unwrap();
    let mut projects = BTreeMap::new();
    for claim in &claims {
        *projects.entry(claim.spec.project.as_str()).or_insert(0) += 1;
    }
    assert_eq!(projects, BTreeMap::from([("one", 1), ("other", 3)]));
    assert!(claimed(&store, slots, 100).await.is_empty());
}

#[sqlx::test]
async fn a_limit_counts_over_priorities(pool: PgPool) {
    let store = store(&pool);
    for priority in [0, 1, 2, 3] {
        queued(&store, "team", priority).await;
    }
    let slots = Slots {
        total: 100,
        per_project: 2,
    };
    assert_eq!(claimed(&store, slots, 100).await.len(), 2);
}

#[sqlx::test]
async fn a_slot_is_held_until_the_end(pool: PgPool) {
    let store = store(&pool);
    let slots = Slots {
        total: 1,
        per_project: 1,
    };
    let first = running(&store, "team").await;
    let second = queued(&store, "team", 0).await;
    assert!(claimed(&store, slots, 9).await.is_empty());
    store.cancel(first).await.unwrap();
    assert!(
        claimed(&store, slots, 9).await.is_empty(),
        "its pod is still there"
    );
    store.cancelled(first).await.unwrap();
    assert_eq!(claimed(&store, slots, 9).await, [second]);
}

#[sqlx::test]
async fn an_expired_lease_is_claimed_again_without_a_free_slot(pool: PgPool) {
    let store = store(&pool);
    let slots = Slots {
        total: 1,
        per_project: 1,
    };
    let id = queued(&store, "team", 0).await;
    queued(&store, "team", 0).await;
    store.claim(slots, Duration::ZERO, 9).await.unwrap();
    assert_eq!(claimed(&store, slots, 9).await, [id]);
    assert!(claimed(&store, slots, 9).await.is_empty());
}

#[sqlx::test]
async fn eight_claimers_at_once_never_exceed_the_slots_and_never_share_a_build(pool: PgPool) {
    let stores: Vec<_> = (0..8).map(|_| store(&pool)).collect();
    let creator = creator(&stores[0]);
    join_all((0..120).map(|n| creator.create(new_build(["a", "b", "c"][n % 3])))).await;
    let slots = Slots {
        total: 20,
        per_project: 8,
    };
    let mut all = HashSet::new();
    for _ in 0..6 {
        let claims = join_all(stores.iter().map(|store| store.claim(slots, LEASE, 5))).await;
        let claims: Vec<_> = claims.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(claims.len(), 20, "every slot is used, and none twice");
        for claim in claims {
            assert!(all.insert(claim.id), "{} was claimed twice", claim.id);
            assert!(stores[1].launched(claim.id, claim.token, "uid").await.unwrap());
            assert!(
                stores[2]
                    .finish(claim.id, &Outcome::Succeeded { digest: None }, &[], 0)
                    .await
                    .unwrap()
            );
        }
    }
    assert_eq!(all.len(), 120);
}

#[sqlx::test]
async fn a_creation_that_commits_below_the_floor_is_found_by_the_sweep(pool: PgPool) {
    let store = store(&pool);
    queued(&store, "team", 0).await;
    let late = queued(&store, "team", 0).await;
    // Simulates a transaction that began an hour ago and has committed only now.
    sqlx::query("UPDATE builds SET run_at = now() - interval '1 h' WHERE id = $1")
        .bind(late.0)
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE lanes SET floor = now() - interval '10 s'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap().len(), 1);
    assert!(
        store.claim(PLENTY, LEASE, 1).await.unwrap().is_empty(),
        "the floor hides it"
    );
    store.look_after_lanes(true).await.unwrap();
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap()[0].id, late);
}

#[sqlx::test]
async fn a_lane_that_was_lost_is_found_by_the_sweep(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    sqlx::query("DELETE FROM lanes").execute(&pool).await.unwrap();
    assert!(store.claim(PLENTY, LEASE, 1).await.unwrap().is_empty());
    store.look_after_lanes(true).await.unwrap();
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap()[0].id, id);
}

#[sqlx::test]
async fn a_floor_follows_the_oldest_build_and_stays_behind_the_present(pool: PgPool) {
    let store = store(&pool);
    let old = queued(&store, "team", 0).await;
    queued(&store, "team", 0).await;
    let age = async |seconds: f64| {
        sqlx::query("UPDATE builds SET run_at = now() - make_interval(secs => $2) WHERE id = $1")
            .bind(old.0)
            .bind(seconds)
            .execute(&pool)
            .await
            .unwrap();
    };
    age(500.0).await;
    store.look_after_lanes(true).await.unwrap();
    let behind = floor_age(&pool).await;
    assert!((499.0..510.0).contains(&behind), "{behind}");
    store.look_after_lanes(false).await.unwrap();
    assert!(floor_age(&pool).await > 499.0, "the oldest build holds the floor");
    assert_eq!(claimed(&store, PLENTY, 1).await, [old]);
    store.look_after_lanes(false).await.unwrap();
    let behind = floor_age(&pool).await;
    assert!((9.9..20.0).contains(&behind), "room for late commits: {behind}");
}

#[sqlx::test]
async fn a_retry_is_never_below_the_floor(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    sqlx::query("UPDATE builds SET run_at = now() - interval '1 h'")
        .execute(&pool)
        .await
        .unwrap();
    store.look_after_lanes(true).await.unwrap();
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    store.look_after_lanes(false).await.unwrap();
    assert!(store.release(id, claim.token, Duration::ZERO).await.unwrap());
    store.look_after_lanes(false).await.unwrap();
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap()[0].id, id);
}

#[sqlx::test]
async fn an_empty_lane_goes_after_a_while_and_comes_back_with_the_next_build(pool: PgPool) {
    let store = store(&pool);
    queued(&store, "team", 0).await;
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap().len(), 1);
    let marks = async || {
        let marks: Vec<bool> = sqlx::query_scalar("SELECT empty_since IS NOT NULL FROM lanes")
            .fetch_all(&pool)
            .await
            .unwrap();
        marks
    };
    store.look_after_lanes(false).await.unwrap();
    assert_eq!(marks().await, [true]);
    queued(&store, "team", 0).await;
    assert_eq!(marks().await, [false], "the creation cleared the mark");
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap().len(), 1);
    store.look_after_lanes(false).await.unwrap();
    store.look_after_lanes(false).await.unwrap();
    assert_eq!(marks().await, [true], "not yet");
    sqlx::query("UPDATE lanes SET empty_since = now() - interval '61 s'")
        .execute(&pool)
        .await
        .unwrap();
    store.look_after_lanes(false).await.unwrap();
    assert!(marks().await.is_empty());
    queued(&store, "team", 0).await;
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap().len(), 1);
}

#[sqlx::test]
async fn lanes_that_look_first_and_are_empty_do_not_hide_the_others(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    sqlx::query("INSERT INTO projects (name) SELECT 'empty-' || n FROM generate_series(1, 500) n")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO lanes (project_id, priority, floor)
        SELECT id, 100, now() - interval '1 h' FROM projects WHERE name LIKE 'empty-%'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(store.claim(PLENTY, LEASE, 1).await.unwrap()[0].id, id);
}

#[sqlx::test]
async fn what_cannot_be_read_fails_by_itself(pool: PgPool) {
    let store = store(&pool);
    let bad = queued(&store, "team", 0).await;
    let good = queued(&store, "team", 0).await;
    sqlx::query("UPDATE specs SET spec = '{}' WHERE build_id = $1")
        .bind(bad.0)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(claimed(&store, PLENTY, 10).await, [good]);
    let standings = store.standings(&[bad]).await.unwrap();
    assert_eq!(standings[0].state, State::Failed);
}
