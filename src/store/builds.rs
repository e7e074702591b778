//! Reads builds for the API and records its requests to cancel them.

use std::collections::HashMap;

use jiff_sqlx::Timestamp;
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError, Topic,
    rows::{AttemptRow, BuildRow, Named, StoredAttemptState},
};
use crate::domain::{Attempt, Build, BuildId, BuildSpec, Digest, Phase, ProjectName, Reason, State};

/// Result of a request to cancel a build.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// The build was queued and is now `cancelled`, or it is `cancelling` until its pod is gone (also after
    /// an earlier request).
    Accepted(Build),
    /// The build had already ended.
    Ended(Build),
}

impl Store {
    /// Returns a build.
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        Ok(self.builds_of(&[id.0]).await?.pop())
    }

    /// Returns the project of a build; cheaper than reading the build.
    pub async fn project_of(&self, id: BuildId) -> Result<Option<ProjectName>, StoreError> {
        let name = sqlx::query_scalar!(
            r#"
            SELECT p.name AS "name: Named<ProjectName>" FROM builds b JOIN projects p ON p.id = b.project_id
            WHERE b.id = $1
            "#,
            id.0
        );
        Ok(name.fetch_optional(&self.pool).await?.map(|name| name.0))
    }

    /// Returns a build's version, which increases with every change; cheaper than reading the build.
    pub async fn build_version(&self, id: BuildId) -> Result<Option<i64>, StoreError> {
        let version = sqlx::query_scalar!("SELECT version FROM builds WHERE id = $1", id.0);
        Ok(version.fetch_optional(&self.pool).await?)
    }

    /// Returns these builds, newest first.
    pub(super) async fn builds_of(&self, ids: &[Uuid]) -> Result<Vec<Build>, StoreError> {
        let rows = sqlx::query_as!(
            BuildRow,
            r#"
            SELECT b.id, b.state AS "state: Named<State>", b.phase AS "phase: Named<Phase>",
                b.waiting_reason AS "waiting_reason: Named<Reason>", b.waiting_message,
                s.spec AS "spec: Json<BuildSpec>", s.rebuild_of, t.trigger_id AS "trigger_id?", t.rule AS "rule?",
                t.delivery_id, s.created_at AS "created_at: Timestamp",
                b.started_at AS "started_at: Timestamp", b.finished_at AS "finished_at: Timestamp",
                b.cancel_requested_at AS "cancel_requested_at: Timestamp", b.superseded_by, b.retries,
                r.digest AS "digest?: Named<Digest>", r.reason AS "reason?: Named<Reason>",
                r.message AS "message?", r.exit_code AS "exit_code?", r.log_snippet AS "log_snippet?", b.version
            FROM builds b
            JOIN specs s ON s.build_id = b.id
            LEFT JOIN results r ON r.build_id = b.id
            LEFT JOIN triggered_builds t ON t.build_id = b.id
            WHERE b.id = ANY($1)
            ORDER BY b.id DESC
            "#,
            ids
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Build::from).collect())
    }

    /// Returns the attempts of a build, oldest first.
    pub async fn attempts(&self, id: BuildId) -> Result<Vec<Attempt>, StoreError> {
        Ok(attempts(&self.pool, id).await?)
    }

    /// Requests the cancellation of a build. Returns `None` if there is no such build.
    pub async fn cancel(&self, id: BuildId) -> Result<Option<Cancelled>, StoreError> {
        // A queued build that was never launched has no pod, so both transitions are made at once. If its
        // launch was deferred, an unrecorded Job may exist. A build that is being launched keeps its lease,
        // because its Job may still be created.
        let changed = sqlx::query_scalar!(
            r#"
            WITH old AS MATERIALIZED (
                SELECT id, state, launches FROM builds
                WHERE id = $1 AND state IN ('queued', 'launching', 'running') FOR NO KEY UPDATE
            ), changed AS (
                UPDATE builds b SET
                    state = CASE WHEN old.state = 'queued' AND old.launches = 0 THEN 'cancelled' ELSE 'cancelling'
                        END::build_state,
                    finished_at = CASE WHEN old.state = 'queued' AND old.launches = 0 THEN now() END,
                    cancel_requested_at = now(), version = version + 1
                FROM old WHERE b.id = old.id AND b.state IN ('queued', 'launching', 'running')
                RETURNING b.id, b.project_id, b.priority, b.state, old.state AS before
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause)
                SELECT id, project_id, step, 'cancel_request'
                FROM changed, unnest(enum_range('cancelling'::build_state, 'cancelled')) step
                WHERE step IN ('cancelling', state)
                ORDER BY step
            ), counted AS (
                INSERT INTO lane_counts (project_id, priority, queued)
                SELECT project_id, priority, -1 FROM changed WHERE before = 'queued'
            )
            SELECT state AS "state: Named<State>" FROM changed
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        if changed.is_some() {
            self.build_changed(id);
        }
        if let Some(Named(State::Cancelling)) = changed {
            self.wake(Topic::Cancel);
        }
        let build = self.build(id).await?;
        Ok(build.map(|build| match changed {
            None if build.state.is_terminal() => Cancelled::Ended(build),
            _ => Cancelled::Accepted(build),
        }))
    }
}

/// Returns the attempts of a build, oldest first.
pub(super) async fn attempts(db: impl PgExecutor<'_>, id: BuildId) -> Result<Vec<Attempt>, sqlx::Error> {
    Ok(attempts_of(db, &[id.0]).await?.remove(&id).unwrap_or_default())
}

/// Returns the attempts of these builds, oldest first for each build.
pub(super) async fn attempts_of(
    db: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<HashMap<BuildId, Vec<Attempt>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        AttemptRow,
        r#"
        SELECT a.build_id, a.number, a.name, a.state AS "state: Named<StoredAttemptState>", a.node,
            a.started_at AS "started_at: Timestamp", a.finished_at AS "finished_at: Timestamp", a.exit_code,
            a.reason AS "reason: Named<Reason>", a.message, a.failure_exit_code, a.log_snippet,
            coalesce(l.bytes, 0) AS "log_bytes!"
        FROM attempts a
        LEFT JOIN logs l ON l.build_id = a.build_id AND l.attempt = a.name
        WHERE a.build_id = ANY($1)
        ORDER BY a.build_id, a.number
        "#,
        ids
    )
    .fetch_all(db)
    .await?;
    let mut attempts: HashMap<BuildId, Vec<Attempt>> = HashMap::new();
    for row in rows {
        attempts
            .entry(BuildId(row.build_id))
            .or_default()
            .push(row.into());
    }
    Ok(attempts)
}
