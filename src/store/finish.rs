//! How builds end, once each.

use sqlx::{Postgres, Transaction};

use super::{OfJob, Store, StoreError, Topic, attempts, begin, rows::Named};
use crate::domain::{AttemptSeen, BuildId, Cause, Digest, Failure, Outcome, State};

impl Store {
    /// Records the end of a running build: succeeded or failed, its attempts, and the event, in one transaction. A
    /// cancelling one may have succeeded, too, before it could be stopped. False when it was in no such state, or by
    /// another Job, and for an outcome that is no end.
    pub async fn finish(
        &self,
        of: impl Into<OfJob<'_>>,
        outcome: &Outcome,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        let result = match outcome {
            Outcome::Succeeded { digest } => Ok(digest.as_ref()),
            Outcome::Failed(failure) => Err(failure),
            Outcome::Waiting { .. } | Outcome::Running { .. } => return Ok(false),
        };
        self.end(of.into(), (result, Cause::Observation), seen, retries)
            .await
    }

    /// Records that a running build failed although nothing of the kind was seen of it in the cluster. False when it
    /// was no longer running, or by another Job.
    pub async fn give_up(
        &self,
        of: impl Into<OfJob<'_>>,
        failure: &Failure,
        cause: Cause,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        self.end(of.into(), (Err(failure), cause), seen, retries).await
    }

    async fn end(
        &self,
        of: OfJob<'_>,
        (result, cause): (Result<Option<&Digest>, &Failure>, Cause),
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let started = result.is_ok() || seen.iter().any(|attempt| attempt.started_at.is_some());
        if !end(&mut db, of, started, (result, cause), retries).await? {
            return Ok(false);
        }
        attempts::record(&mut db, of.build, seen).await?;
        cut_off(&mut db, of.build).await?;
        db.commit().await?;
        self.build_changed(of.build);
        self.wake(Topic::Queue);
        Ok(true)
    }

    /// The pod of a cancelling build is gone. False also while a launch that had begun before the cancel may still make
    /// its Job.
    pub async fn cancelled(&self, id: BuildId) -> Result<bool, StoreError> {
        Ok(self.pod_gone(id).await?.is_some())
    }

    /// Likewise, and says what it became: cancelled, or superseded where a newer build takes its place.
    pub async fn pod_gone(&self, id: BuildId) -> Result<Option<State>, StoreError> {
        let changed = sqlx::query_scalar!(
            r#"
            WITH changed AS (
                UPDATE builds SET
                    state = CASE WHEN superseded_by IS NULL THEN 'cancelled' ELSE 'superseded' END::build_state,
                    finished_at = now(), phase = NULL, waiting_since = NULL,
                    waiting_reason = NULL, waiting_message = NULL, lease_until = NULL, claim_token = NULL,
                    version = version + 1
                WHERE id = $1 AND state = 'cancelling' AND (lease_until IS NULL OR lease_until < now())
                RETURNING id, project_id, state, superseded_by
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause, message)
                SELECT id, project_id, state, 'pod_gone', 'Build ' || superseded_by || ' took its place.' FROM changed
            ), cut AS (
                UPDATE attempts SET state = 'failed', finished_at = coalesce(finished_at, now())
                WHERE build_id IN (SELECT id FROM changed) AND state IN ('pending', 'running')
            )
            SELECT state AS "state: Named<State>" FROM changed
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        if changed.is_some() {
            self.build_changed(id);
            self.wake(Topic::Queue);
        }
        Ok(changed.map(|state| state.0))
    }
}

async fn end(
    db: &mut Transaction<'_, Postgres>,
    of: OfJob<'_>,
    started: bool,
    (result, cause): (Result<Option<&Digest>, &Failure>, Cause),
    retries: u32,
) -> Result<bool, sqlx::Error> {
    let failure = result.err();
    let changed = sqlx::query_scalar!(
        "
        WITH changed AS (
            UPDATE builds SET state = $2::text::build_state, finished_at = now(),
                started_at = coalesce(started_at, CASE WHEN $9 THEN now() END),
                retries = greatest(retries, $3), superseded_by = NULL, phase = NULL, waiting_since = NULL, waiting_reason = NULL,
                waiting_message = NULL, lease_until = NULL, claim_token = NULL, version = version + 1
            WHERE id = $1 AND (
                state = 'running' AND ($11::text IS NULL OR external_id = $11)
                OR state = 'cancelling' AND $2 = 'succeeded' AND ($11 IS NULL OR coalesce(external_id, $11) = $11)
            )
            RETURNING id, project_id, state
        ), event AS (
            INSERT INTO build_events (build_id, project_id, state, cause, reason, message)
            SELECT id, project_id, state, $10, $5, $6 FROM changed
        ), result AS (
            INSERT INTO results (build_id, digest, reason, message, exit_code, log_snippet, project_id, repository,
                held_seconds)
            SELECT id, $4, $5, $6, $7, $8, c.project_id, s.repository, CASE WHEN $2 = 'succeeded' THEN (
                SELECT extract(epoch FROM clock_timestamp() - max(e.at)) FROM build_events e
                WHERE e.build_id = c.id AND e.cause = 'claim' AND e.at < clock_timestamp()
            ) END
            FROM changed c JOIN specs s ON s.build_id = c.id
        )
        SELECT id FROM changed
        ",
        of.id(),
        if failure.is_none() { "succeeded" } else { "failed" },
        super::rows::column::<_, i32>(retries),
        result.ok().flatten().map(Digest::as_str),
        failure.map(|failure| failure.reason.as_str()),
        failure.map(|failure| failure.message.as_str()),
        failure.and_then(|failure| failure.exit_code),
        failure.and_then(|failure| failure.log_snippet.as_deref()),
        started,
        cause.as_str(),
        of.job
    )
    .fetch_optional(&mut **db)
    .await?;
    Ok(changed.is_some())
}

/// An attempt that had not ended when its build did is not running any more: it waited for too long, or its pod went
/// away unseen, perhaps long before another one succeeded.
async fn cut_off(db: &mut Transaction<'_, Postgres>, id: BuildId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        UPDATE attempts SET state = 'failed', finished_at = coalesce(finished_at, now())
        WHERE build_id = $1 AND state IN ('pending', 'running')
        ",
        id.0
    )
    .execute(&mut **db)
    .await?;
    Ok(())
}
