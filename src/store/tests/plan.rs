//! Plans of statements: they use the indexes whatever the statistics say, and cost no more with a longer
//! queue.

mod changes;
mod claims;
mod notifications;
mod questions;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::*;

/// Queues builds of four projects, an hour old, while the statistics say that the table is empty.
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

/// Returns the tables that a plan reads from end to end.
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

fn explain(sql: &str) -> String {
    format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
}

/// Returns the number of pages that a plan touched.
fn touched(plan: &Value) -> i64 {
    let pages = |key: &str| plan[0]["Plan"][key].as_i64().unwrap();
    pages("Shared Hit Blocks") + pages("Shared Read Blocks")
}
