//! The claim's plan: by the indexes, whatever the statistics say, and no dearer with a longer queue.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::*;

/// Queued builds of four projects, an hour old, whose statistics say that the table is empty.
async fn backlog(pool: &PgPool, builds: i32) {
    for statement in [
        "TRUNCATE projects, builds, specs, lanes, build_events RESTART IDENTITY CASCADE",
        "ALTER TABLE builds SET (autovacuum_enabled = off)",
        "ALTER TABLE specs SET (autovacuum_enabled = off)",
        "ANALYZE",
        "INSERT INTO projects (name) SELECT 'p' || n FROM generate_series(1, 4) n",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    sqlx::query(
        "WITH new AS (
            INSERT INTO builds (id, project_id, priority, run_at)
            SELECT gen_random_uuid(), 1 + n % 4, 0, now() - interval '1 h' + n * interval '1 ms'
            FROM generate_series(1, $1) n RETURNING id, project_id
        )
        INSERT INTO specs (build_id, project_id, repository, spec) SELECT id, project_id, 'r', $2 FROM new",
    )
    .bind(builds)
    .bind(sqlx::types::Json(spec("p1")))
    .execute(pool)
    .await
    .unwrap();
}

/// Explains a claim of fifty and undoes it: the plan, and the pages that it touched.
async fn explained(pool: &PgPool) -> (String, i64) {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let sql = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        include_str!("../claim.sql")
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(50_i64)
        .bind(50_i64)
        .bind(50_i64)
        .bind(164_i64)
        .bind(60.0_f64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let pages = |key: &str| plan[0]["Plan"][key].as_i64().unwrap();
    let touched = pages("Shared Hit Blocks") + pages("Shared Read Blocks");
    (plan.to_string(), touched)
}

#[sqlx::test]
async fn a_claim_follows_the_index_and_does_not_grow_with_the_backlog(pool: PgPool) {
    let store = store(&pool);
    let mut touched = Vec::new();
    for builds in [2_000, 200_000] {
        backlog(&pool, builds).await;
        store.look_after_lanes(true).await.unwrap();
        let (plan, pages) = explained(&pool).await;
        assert!(plan.contains("builds_queued"), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
        touched.push(pages);
    }
    assert!(touched[1] < touched[0] * 3 / 2 + 300, "{touched:?}");
}

#[sqlx::test]
async fn what_was_claimed_before_costs_nothing_even_under_an_old_snapshot(pool: PgPool) {
    let store = store(&pool);
    backlog(&pool, 60_000).await;
    store.look_after_lanes(true).await.unwrap();
    let (_, before) = explained(&pool).await;
    let mut old = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM lanes")
        .await
        .unwrap();
    sqlx::query("SELECT 1 FROM builds LIMIT 1")
        .execute(&mut *old)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE builds SET state = 'succeeded', finished_at = now()
        WHERE id IN (SELECT id FROM builds ORDER BY run_at LIMIT 50000)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (_, unkept) = explained(&pool).await;
    assert!(unkept > before * 3, "the dead are in the way: {before}, {unkept}");
    store.look_after_lanes(false).await.unwrap();
    let (_, kept) = explained(&pool).await;
    assert!(kept < before * 3 / 2 + 300, "{before}, {kept}");
}
