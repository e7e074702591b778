//! Builds by the million, written by SQL: the same rows as a creation makes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Result, bail};

use super::postgres::Postgres;

/// What a client asks for.
pub const REQUEST: &str = r#"{"source":{"git":{"url":"https://git.example.com/team/app.git","ref":"refs/heads/main"}},"destinations":["registry.example.com/team/app"]}"#;

/// The same rows as a creation makes, in one statement, with keys that grow as ours do.
pub const SAME_ROW: &str = r#"
WITH b AS (
    INSERT INTO builds (id, project_id, priority) VALUES ((
        lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid, 1, 0)
    RETURNING id
), c AS (
    INSERT INTO lane_counts (project_id, priority, queued) VALUES (1, 0, 1)
), s AS (
    INSERT INTO specs (build_id, project_id, repository, git_ref, spec)
    SELECT id, 1, 'registry.example.com/team/app', 'refs/heads/main', '{"project": "default","source": {"git": {"url": "https://git.example.com/team/app.git","ref": "refs/heads/main"}},"dockerfile": "Dockerfile","destinations": ["registry.example.com/team/app"],"cache": {"enabled": false},"priority": 0,"timeout_seconds": 3600,"max_retries": 3,"resources": {},"annotations": {}}'::jsonb FROM b
)
INSERT INTO build_events (build_id, project_id, state, cause) SELECT id, 1, 'queued', 'request' FROM b;
"#;

/// Rows that one statement writes.
const PIECE: u32 = 100_000;
/// Sessions that write at once.
const SESSIONS: u32 = 2;

/// Queues so many builds, evenly over so many projects.
pub fn fill(postgres: &Postgres, builds: u32, projects: u32) -> Result<()> {
    postgres.sql(&format!(
        "INSERT INTO projects (name) SELECT CASE n WHEN 1 THEN 'default' ELSE 'project-' || n END
         FROM generate_series(1, {projects}) n ON CONFLICT DO NOTHING"
    ))?;
    let left = AtomicU32::new(builds);
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|_| scope.spawn(|| pieces(postgres, &left, projects)))
            .collect();
        sessions.into_iter().try_for_each(|session| {
            let ended = session.join();
            ended.unwrap_or_else(|_| bail!("a session that fills the queue panicked"))
        })
    })?;
    postgres.sql(
        "INSERT INTO lanes (project_id, priority, floor)
         SELECT id, 0, now() - interval '1 hour' FROM projects
         ON CONFLICT (project_id, priority) DO UPDATE SET empty_since = NULL, floor = excluded.floor",
    )
}

/// Writes one piece after the other, until nothing is left.
fn pieces(postgres: &Postgres, left: &AtomicU32, projects: u32) -> Result<()> {
    let take = |left: u32| (left > 0).then(|| left.saturating_sub(PIECE));
    while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        // Nobody is to be told of these builds, and what was written is on the disk by the checkpoint that follows.
        postgres.sql(&format!(
            "SET session_replication_role = replica; SET synchronous_commit = off; {}",
            piece(before.min(PIECE), projects)
        ))?;
    }
    Ok(())
}

/// The statement that a creation makes, for many builds.
fn piece(builds: u32, projects: u32) -> String {
    // Neighbours belong together: the index of the queue is by project, and is to stay in memory while it grows.
    let each = (builds / projects).max(1);
    // 20 bits count on within a millisecond: each statement's keys grow, as a creation's do.
    SAME_ROW
        .replace(
            "|| substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))",
            "|| lpad(to_hex(n >> 8), 3, '0') || '8' || lpad(to_hex(n & 255), 2, '0') || substr(md5(random()::text), 1, 13))",
        )
        // Each was accepted a little after the one before, and all of them before whoever claims them now.
        .replace(
            "builds (id, project_id, priority) VALUES ((",
            "builds (run_at, id, project_id, priority) SELECT clock_timestamp() - interval '1 min', (",
        )
        .replace(
            "::uuid, 1, 0)",
            &format!("::uuid, 1 + n / {each} % {projects}, 0 FROM generate_series(1, {builds}) n"),
        )
        .replace("RETURNING id\n", "RETURNING id, project_id\n")
        .replace("VALUES (1, 0, 1)", "SELECT project_id, 0, count(*) FROM b GROUP BY 1")
        .replace("SELECT id, 1, 'registry", "SELECT id, project_id, 'registry")
        .replace("SELECT id, 1, 'queued'", "SELECT id, project_id, 'queued'")
}

/// Removes all builds, and what belongs to them.
pub fn clear(postgres: &Postgres) -> Result<()> {
    postgres.sql("TRUNCATE builds, specs, build_events, results, attempts, lanes, lane_counts")
}
