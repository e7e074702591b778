//! The cost of retention, and its effect on concurrent work. Tests of the retention module cover what it
//! removes.

use std::time::Instant;

use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::*;
use crate::domain::{ContextId, State};

const DAY: Duration = Duration::from_secs(86_400);

/// Stores builds a hundred days old, a second apart, every tenth unfinished, with all related rows, while the
/// statistics say that there are none.
async fn history(pool: &PgPool, builds: i32) {
    for statement in [
        "TRUNCATE projects, builds, specs, attempts, logs, log_chunks, build_events, contexts, context_grants,
            idempotency_keys, results, steps RESTART IDENTITY CASCADE",
        "ALTER TABLE builds SET (autovacuum_enabled = off)",
        "ALTER TABLE specs SET (autovacuum_enabled = off)",
        "ANALYZE",
        "INSERT INTO projects (name) VALUES ('p')",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    let made = "CREATE TEMPORARY TABLE made ON COMMIT DROP AS
        SELECT n, first_id_at(now() - interval '100 d' + n * interval '1 s') AS id FROM generate_series(1, $1) n";
    let mut db = pool.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(made.replace("$1", &builds.to_string())))
        .execute(&mut *db)
        .await
        .unwrap();
    for statement in [
        "INSERT INTO builds (id, project_id, priority, state, finished_at)
        SELECT id, 1, 0, (CASE WHEN n % 10 = 0 THEN 'running' ELSE 'failed' END)::build_state,
            CASE WHEN n % 10 <> 0 THEN now() - interval '99 d' END FROM made",
        "INSERT INTO contexts (id, project_id, size, sha256, created_at)
        SELECT id, 1, 1, decode(repeat('00', 32), 'hex'), now() - interval '100 d' FROM made",
        "INSERT INTO specs (build_id, project_id, repository, spec)
        SELECT id, 1, 'r', jsonb_build_object('source', jsonb_build_object('upload',
            jsonb_build_object('context_id', id))) FROM made",
        "INSERT INTO context_grants (context_id, token_sha256, build_id)
        SELECT id, decode(repeat('00', 32), 'hex'), id FROM made",
        "INSERT INTO attempts (build_id, number, name, state) SELECT id, 1, 'pod', 'failed' FROM made",
        "INSERT INTO logs (build_id, attempt, bytes, complete) SELECT id, 'pod', 1, true FROM made",
        "INSERT INTO log_chunks (build_id, attempt, byte_offset, length, body) SELECT id, 'pod', 0, 1, 'x' FROM made",
        "INSERT INTO build_events (build_id, state) SELECT id, 'queued' FROM made, generate_series(1, 3)",
        "INSERT INTO results (build_id) SELECT id FROM made",
        "INSERT INTO steps (build_id, attempt, number, instruction, timed) SELECT id, 'pod', 1, 'RUN x', true FROM made",
        "INSERT INTO idempotency_keys (project_id, key, build_id, request_sha256, created_at)
        SELECT 1, id::text, id, decode(repeat('00', 32), 'hex'), now() - interval '100 d' FROM made",
    ] {
        sqlx::query(statement).execute(&mut *db).await.unwrap();
    }
    db.commit().await.unwrap();
}

/// Returns the statements of retention with their parameters as literals.
fn statements(ids: &str) -> Vec<(&'static str, String)> {
    let nil = "'00000000-0000-0000-0000-000000000000'::uuid";
    let week = "604800.0::float8";
    let fill = |sql: &str, values: &[&str]| {
        let mut sql = sql.to_owned();
        for (index, value) in values.iter().enumerate() {
            sql = sql.replace(&format!("${}", index + 1), value);
        }
        sql
    };
    vec![
        ("keys", fill(include_str!("../retention/keys.sql"), &[nil, week])),
        (
            "events",
            fill(include_str!("../retention/events.sql"), &[nil, "0::bigint", week]),
        ),
        (
            "builds",
            fill(include_str!("../retention/builds_due.sql"), &[nil, week]),
        ),
        (
            "contexts",
            fill(include_str!("../retention/contexts_due.sql"), &[nil, week]),
        ),
        (
            "logs",
            fill(include_str!("../retention/logs_due.sql"), &[nil, "''", week]),
        ),
        (
            "archive",
            fill(include_str!("../retention/unarchived.sql"), &[nil, "''", week]),
        ),
        (
            "removal",
            fill(include_str!("../retention/builds_removed.sql"), &[ids]),
        ),
    ]
}

/// Explains a statement and undoes it. Returns the plan and the pages that it touched.
async fn explained(pool: &PgPool, sql: &str) -> (String, i64) {
    let mut db = pool.begin_with(crate::store::retention::BEGIN).await.unwrap();
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
    )))
    .fetch_one(&mut *db)
    .await
    .unwrap();
    let pages = |key: &str| plan[0]["Plan"][key].as_i64().unwrap();
    let touched = pages("Shared Hit Blocks") + pages("Shared Read Blocks");
    (plan.to_string(), touched)
}

#[sqlx::test]
async fn a_batch_follows_the_indexes_and_does_not_grow_with_what_is_kept(pool: PgPool) {
    let mut touched: Vec<Vec<(&str, i64)>> = Vec::new();
    // The last case has true statistics, because autovacuum may run at any moment.
    for (builds, analyzed) in [(2_000, false), (40_000, false), (40_000, true)] {
        history(&pool, builds).await;
        if analyzed {
            sqlx::query("ANALYZE").execute(&pool).await.unwrap();
        }
        let ids: String = sqlx::query_scalar(
            "SELECT quote_literal(array_agg(id)::text) || '::uuid[]' FROM (
                SELECT id FROM builds WHERE finished_at IS NOT NULL ORDER BY id LIMIT 450
            ) first",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        let mut pages = Vec::new();
        for (name, sql) in statements(&ids) {
            let (plan, touched) = explained(&pool, &sql).await;
            assert!(!plan.contains("Seq Scan"), "{name}: {plan}");
            pages.push((name, touched));
        }
        touched.push(pages);
    }
    for larger in &touched[1..] {
        for ((name, few), (_, many)) in touched[0].iter().zip(larger) {
            assert!(*many < few * 3 / 2 + 1500, "{name}: {few}, then {many} pages");
        }
    }
}

#[sqlx::test]
async fn a_batch_is_bounded_and_the_next_one_goes_on_after_it(pool: PgPool) {
    let store = store(&pool);
    history(&pool, 1_100).await;
    let first = store.remove_old_events(DAY, (Uuid::nil(), 0)).await.unwrap();
    // Of 500 events, about the three events of every tenth build stay.
    assert!((440..=460).contains(&first.removed), "{first:?}");
    let mut next = first.next;
    let mut removed = first.removed;
    while let Some(after) = next {
        let batch = store.remove_old_events(DAY, after).await.unwrap();
        assert!(batch.removed <= 500);
        removed += batch.removed;
        next = batch.next;
    }
    assert_eq!(removed, 990 * 3);
    let mut rounds = Vec::new();
    let mut next = Some(Uuid::nil());
    while let Some(after) = next {
        let batch = store.remove_old_builds(DAY, after).await.unwrap();
        rounds.push(batch.removed);
        next = batch.next;
    }
    assert_eq!(rounds, [0, 0, 0], "builds wait for their logs");
}

#[sqlx::test]
async fn a_context_that_is_being_built_from_is_not_removed(pool: PgPool) {
    let store = store(&pool);
    let context = ContextId(Uuid::from_u128(7));
    let project: ProjectName = "team".parse().unwrap();
    store.begin_context(context).await.unwrap();
    store
        .add_context(context, &project, 1, [0; 32])
        .await
        .unwrap()
        .expect("it was begun");
    sqlx::query("UPDATE contexts SET created_at = now() - interval '30 d'")
        .execute(&pool)
        .await
        .unwrap();
    // Creation holds this lock until it commits.
    let mut creating = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM contexts FOR KEY SHARE")
        .execute(&mut *creating)
        .await
        .unwrap();
    let removed = async || {
        let batch = store.remove_old_contexts(DAY, Uuid::nil()).await.unwrap();
        batch.removed
    };
    assert_eq!(removed().await, 0, "it is left for the next sweep");
    creating.rollback().await.unwrap();
    // The other way round: a removal is in progress, and creation waits until it ends.
    let mut removing = pool.begin().await.unwrap();
    sqlx::query("DELETE FROM contexts")
        .execute(&mut *removing)
        .await
        .unwrap();
    let mut build = new_build("team");
    build.spec.source =
        serde_json::from_value(serde_json::json!({"upload": {"context_id": context}})).unwrap();
    let creator = creator(&store);
    let created = tokio::spawn({
        let (creator, build) = (creator.clone(), build.clone());
        async move { creator.create(build).await }
    });
    sessions::eventually("creation waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (
                SELECT oid FROM pg_database WHERE datname = current_database()
            ) OR NOT granted AND locktype = 'transactionid'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
    removing.commit().await.unwrap();
    assert!(matches!(created.await.unwrap(), Err(CreateError::NoSuchContext)));
}

#[sqlx::test]
async fn a_key_never_outlives_its_build(pool: PgPool) {
    let store = store(&pool);
    let first = created(&store, keyed("team", "once", 1)).await;
    store.cancel(first.id).await.unwrap();
    for statement in [
        "UPDATE builds SET finished_at = now() - interval '30 d'",
        "CREATE OR REPLACE FUNCTION first_id_at(at timestamptz) RETURNS uuid LANGUAGE sql STABLE
        RETURN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    assert_eq!(created(&store, keyed("team", "once", 1)).await.id, first.id);
    let batch = store.remove_old_builds(DAY, Uuid::nil()).await.unwrap();
    assert_eq!(batch.removed, 1);
    let again = created(&store, keyed("team", "once", 1)).await;
    assert_ne!(again.id, first.id, "the key is free again");
    assert_eq!(again.state, State::Queued);
}

/// Measures, on demand, claims while 200,000 old builds are removed.
#[sqlx::test]
#[ignore = "takes minutes; prints figures"]
async fn claims_during_a_sweep(pool: PgPool) {
    let store = store(&pool);
    history(&pool, 222_222).await;
    sqlx::query("DELETE FROM logs").execute(&pool).await.unwrap();
    sqlx::query("DELETE FROM builds WHERE finished_at IS NULL")
        .execute(&pool)
        .await
        .unwrap();
    let slots = Slots {
        total: 50,
        per_project: 50,
    };
    let claims = async |rounds: usize| {
        let mut took = Vec::new();
        for _ in 0..rounds {
            for _ in 0..10 {
                queued(&store, "team", 0).await;
            }
            let begun = Instant::now();
            let claims = store.claim(slots, LEASE, 10).await.unwrap();
            took.push(begun.elapsed());
            assert_eq!(claims.len(), 10);
            for claim in claims {
                assert!(store.launched(claim.id, claim.token, "uid").await.unwrap());
                let ended = Outcome::Succeeded { digest: None };
                assert!(store.finish(claim.id, &ended, &[], 0).await.unwrap());
            }
        }
        took.sort();
        (took[took.len() / 2], took[took.len() * 99 / 100])
    };
    println!("before: p50, p99 of a claim of ten: {:?}", claims(200).await);
    let sweep = async {
        let begun = Instant::now();
        let (mut removed, mut batches, mut longest) = (0, 0, Duration::ZERO);
        let mut next = Some(Uuid::nil());
        while let Some(after) = next {
            let begun = Instant::now();
            let batch = store.remove_old_builds(DAY, after).await.unwrap();
            longest = longest.max(begun.elapsed());
            removed += batch.removed;
            batches += 1;
            next = batch.next;
            tokio::time::sleep(begun.elapsed() + Duration::from_millis(20)).await;
        }
        (removed, batches, longest, begun.elapsed())
    };
    let (during, swept) = tokio::join!(claims(600), sweep);
    println!("during: {during:?}");
    println!("removed, batches, longest batch, in all: {swept:?}");
    println!("after: {:?}", claims(200).await);
}
