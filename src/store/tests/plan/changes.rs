//! Creations and ends.

use super::*;

/// Explains the queries of a creation under locks. Returns the tables that are read from end to end, and the
/// pages that are touched.
async fn asked_at_creation(pool: &PgPool, new: uuid::Uuid) -> Vec<(Vec<String>, i64)> {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let explain = |sql: &str| AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"));
    let quotas: Value = sqlx::query_scalar(explain(include_str!("../../quotas.sql")))
        .bind(vec!["p1"])
        .bind(Some(100_i32))
        .bind(Some(100_i32))
        .bind(64_i64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let members: Value = sqlx::query_scalar(explain(include_str!("../../group_members.sql")))
        .bind(vec![new])
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let superseded: Value = sqlx::query_scalar(explain(include_str!("../../supersede.sql")))
        .bind(vec![new])
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let pages = |plan: &Value, key: &str| plan[0]["Plan"][key].as_i64().unwrap();
    [quotas, members, superseded]
        .iter()
        .map(|plan| {
            let touched = pages(plan, "Shared Hit Blocks") + pages(plan, "Shared Read Blocks");
            (walked(plan), touched)
        })
        .collect()
}

#[sqlx::test]
async fn a_creation_under_locks_does_not_grow_with_the_backlog_nor_with_the_history(pool: PgPool) {
    let store = store(&pool);
    for builds in [2_000, 100_000] {
        backlog(&pool, builds).await;
        store.recount().await.unwrap();
        // Groups in a history of ended builds, and one group with active builds.
        sqlx::query(
            "UPDATE builds SET concurrency_group = 'main', supersede = 'queued', state = 'succeeded',
                finished_at = now() WHERE id IN (SELECT id FROM builds LIMIT $1)",
        )
        .bind(builds / 2)
        .execute(&pool)
        .await
        .unwrap();
        sqlx::query(
            "UPDATE builds SET concurrency_group = 'main', supersede = 'queued'
            WHERE id IN (SELECT id FROM builds WHERE state = 'queued' AND project_id = 1 LIMIT 5)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let id: uuid::Uuid = sqlx::query_scalar(
            "SELECT id FROM builds WHERE state = 'queued' AND concurrency_group = 'main' LIMIT 1",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        for (query, (walked, pages)) in asked_at_creation(&pool, id).await.into_iter().enumerate() {
            assert!(
                walked.iter().all(|table| table == "lane_counts"),
                "query {query} of {builds}: {walked:?}"
            );
            assert!(pages < 600, "query {query} of {builds}: {pages} pages");
        }
    }
}

#[sqlx::test]
async fn builds_that_end_are_found_by_their_ids_and_not_among_all_that_hold_slots(pool: PgPool) {
    backlog(&pool, 2_000).await;
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("UPDATE builds SET state = 'running' WHERE project_id = 1 RETURNING id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let ids = &ids[..10];
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let sql = format!("EXPLAIN (FORMAT JSON) {}", include_str!("../../finish.sql"));
    let nothing: Vec<Option<String>> = vec![None; ids.len()];
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(ids)
        .bind(&nothing)
        .bind(vec!["succeeded"; ids.len()])
        .bind(vec!["observation"; ids.len()])
        .bind(vec![true; ids.len()])
        .bind(vec![0_i32; ids.len()])
        .bind(&nothing)
        .bind(&nothing)
        .bind(&nothing)
        .bind(vec![None::<i32>; ids.len()])
        .bind(&nothing)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let plan = plan.to_string();
    assert!(
        plan.contains("builds_pkey") && !plan.contains("builds_held"),
        "{plan}"
    );
    // A second scan of the unindexed input would run once per build: ten thousand rows for a hundred builds.
    assert_eq!(plan.matches(r#""CTE Name":"input""#).count(), 1, "{plan}");
}
