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
    explained_claim(pool, 50).await
}

/// The same for a claim of so many builds.
async fn explained_claim(pool: &PgPool, most: i64) -> (String, i64) {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let sql = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        include_str!("../claim.sql")
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(most)
        .bind(most)
        .bind(most)
        .bind(2 * most + 64)
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
async fn fault_25_a_claim_from_a_long_queue_touches_about_as_much_as_from_one_of_ten(pool: PgPool) {
    let store = store(&pool);
    let mut touched = Vec::new();
    for builds in [10, 200_000] {
        backlog(&pool, builds).await;
        store.look_after_lanes(true).await.unwrap();
        let (plan, pages) = explained_claim(&pool, 10).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        touched.push(pages);
    }
    println!("pages of a claim of ten, from ten and from 200,000: {touched:?}");
    // Each of the builds that are looked at and changed is reached through indexes that are a few pages deep, not one.
    assert!(touched[1] < touched[0] * 2 + 100, "{touched:?}");
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

/// Tables that a plan reads from end to end.
fn walked(plan: &Value) -> Vec<String> {
    let mut walked = Vec::new();
    match plan {
        Value::Array(nodes) => nodes.iter().for_each(|node| walked.extend(walked_in(node))),
        Value::Object(_) => walked.extend(walked_in(plan)),
        _ => {}
    }
    walked
}

fn walked_in(node: &Value) -> Vec<String> {
    let own =
        (node["Node Type"] == "Seq Scan").then(|| node["Relation Name"].as_str().unwrap_or("?").to_owned());
    let below = node
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values().flat_map(walked));
    own.into_iter().chain(below).collect()
}

/// Explains what is asked of the queue for one build, and of the queue as a whole: which tables were read from end to
/// end, and the pages that were touched, query by query.
async fn asked(pool: &PgPool, id: uuid::Uuid) -> Vec<(Vec<String>, i64)> {
    let mut db = pool.begin_with(queue::BEGIN).await.unwrap();
    let explain = |sql: &str| AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"));
    let some: Vec<i64> = (1..=4).collect();
    let plans: Vec<Value> = vec![
        sqlx::query_scalar(explain(include_str!("../queue/place.sql")))
            .bind(id)
            .bind(1000_i64)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../queue/shares.sql")))
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../queue/ties.sql")))
            .bind(&some)
            .bind(vec![63_i64; 4])
            .bind(0_i16)
            .bind(jiff_sqlx::ToSqlx::to_sqlx(jiff::Timestamp::UNIX_EPOCH))
            .bind(id)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../queue/history.sql")))
            .bind(1_i64)
            .bind("r")
            .bind(500_i64)
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../queue/projects.sql")))
            .bind(None::<String>)
            .bind(1001_i64)
            .bind(None::<i32>)
            .bind(Some(100_i32))
            .fetch_one(&mut *db)
            .await,
        sqlx::query_scalar(explain(include_str!("../queue/sums.sql")))
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
                // At most a thousand builds in either direction, each on a page of its own at the worst. Of lanes there
                // are few.
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
    let sql = format!("EXPLAIN (FORMAT JSON) {}", include_str!("../project_events.sql"));
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

/// Explains what a creation under locks asks: which tables were read from end to end, and the pages that were touched.
async fn asked_at_creation(pool: &PgPool, new: uuid::Uuid) -> Vec<(Vec<String>, i64)> {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let explain = |sql: &str| AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"));
    let quotas: Value = sqlx::query_scalar(explain(include_str!("../quotas.sql")))
        .bind(vec!["p1"])
        .bind(Some(100_i32))
        .bind(Some(100_i32))
        .bind(64_i64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let members: Value = sqlx::query_scalar(explain(include_str!("../group_members.sql")))
        .bind(vec![new])
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let superseded: Value = sqlx::query_scalar(explain(include_str!("../supersede.sql")))
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
        // Groups of a history that has ended, and one that lives.
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
    let sql = format!("EXPLAIN (FORMAT JSON) {}", include_str!("../finish.sql"));
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
        plan.contains("builds_pkey") && !plan.contains("builds_active"),
        "{plan}"
    );
}
