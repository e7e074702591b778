//! Queries about the queue, about the position of one build in it, and about events.

use super::*;

/// Explains the queries about one build and about the whole queue. Returns for each query the tables that are
/// read from end to end, and the pages that are touched.
async fn asked(pool: &PgPool, id: uuid::Uuid) -> Vec<(Vec<String>, i64)> {
    let mut db = pool.begin_with(queue::BEGIN).await.unwrap();
    let explain = |sql: &str| AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"));
    let some: Vec<i64> = (1..=4).collect();
    let plans: Vec<Value> = vec![
        sqlx::query_scalar(explain(include_str!("../../queue/place.sql")))
            .bind(id)
            .bind(1000_i64)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../../queue/shares.sql")))
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../../queue/ties.sql")))
            .bind(&some)
            .bind(vec![63_i64; 4])
            .bind(0_i16)
            .bind(jiff_sqlx::ToSqlx::to_sqlx(jiff::Timestamp::UNIX_EPOCH))
            .bind(id)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../../queue/history.sql")))
            .bind(1_i64)
            .bind("r")
            .bind(500_i64)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../../queue/projects.sql")))
            .bind(None::<String>)
            .bind(1001_i64)
            .bind(None::<i32>)
            .bind(Some(100_i32))
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../../queue/sums.sql")))
            .bind(256_i64)
            .fetch_one(&mut *db)
            .await,
    ]
    .into_iter()
    .collect::<Result<_, _>>()
    .unwrap();
    let pages = |plan: &Value, key: &str| plan[0]["Plan"][key].as_i64().unwrap();
    let touched = |plan: &Value| pages(plan, "Shared Hit Blocks") + pages(plan, "Shared Read Blocks");
    plans.iter().map(|plan| (walked(plan), touched(plan))).collect()
}

#[sqlx::test]
async fn a_place_and_the_queue_are_told_without_a_walk_through_the_backlog(pool: PgPool) {
    let store = store(&pool);
    for builds in [2_000, 200_000] {
        backlog(&pool, builds).await;
        store.look_after_lanes(true).await.unwrap();
        store.recount().await.unwrap();
        for share in [0.0, 0.5, 1.0] {
            let id: uuid::Uuid = sqlx::query_scalar(
                "SELECT id FROM builds WHERE project_id = 1 ORDER BY run_at OFFSET $1 LIMIT 1",
            )
            .bind((f64::from(builds / 4 - 1) * share).floor())
            .fetch_one(&pool)
            .await
            .unwrap();
            for (query, (walked, pages)) in asked(&pool, id).await.into_iter().enumerate() {
                assert!(
                    walked
                        .iter()
                        .all(|table| matches!(table.as_str(), "lane_counts" | "lanes")),
                    "query {query}: {walked:?}"
                );
                // At most a thousand builds in each direction, each on a page of its own at worst. There are
                // few lanes.
                assert!(pages < 4_000, "query {query} of {builds}: {pages} pages");
            }
        }
    }
}

#[sqlx::test]
async fn a_place_in_a_long_lane_is_exact_at_both_ends_and_near_in_the_middle(pool: PgPool) {
    let store = store(&pool);
    backlog(&pool, 20_000).await;
    store.look_after_lanes(true).await.unwrap();
    store.recount().await.unwrap();
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM builds WHERE project_id = 2 ORDER BY run_at")
            .fetch_all(&pool)
            .await
            .unwrap();
    for (place, estimated) in [
        (1, false),
        (1000, false),
        (2500, true),
        (4500, true),
        (5000, true),
    ] {
        let told = store.place(BuildId(ids[place - 1])).await.unwrap().unwrap();
        assert_eq!(told.estimated, estimated, "{place}: {told:?}");
        let off = told.position.abs_diff(place as u64);
        let near = if place == 2500 { 250 } else { 0 };
        assert!(off <= near, "{place}: {told:?}");
    }
}

#[sqlx::test]
async fn a_projects_events_are_read_by_their_index(pool: PgPool) {
    backlog(&pool, 20_000).await;
    sqlx::query(
        "INSERT INTO build_events (build_id, project_id, state) SELECT id, project_id, 'queued' FROM builds",
    )
    .execute(&pool)
    .await
    .unwrap();
    let sql = format!(
        "EXPLAIN (FORMAT JSON) {}",
        include_str!("../../project_events.sql")
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind("p1")
        .bind(0_i64)
        .bind(0_i64)
        .bind(100_i64)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(plan.to_string().contains("build_events_by_project"), "{plan}");
}
