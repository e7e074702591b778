//! How builds end, once each.

use sqlx::{Postgres, Transaction};

use super::{Store, StoreError, Topic, attempts, begin};
use crate::domain::{AttemptSeen, BuildId, Digest, Failure, Outcome};

impl Store {
    /// Records the end of a running build: succeeded or failed, its attempts, and the event, in one transaction.
    /// False when it was no longer running, and for an outcome that is no end.
    pub async fn finish(
        &self,
        id: BuildId,
        outcome: &Outcome,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        let (state, digest, failure) = match outcome {
            Outcome::Succeeded { digest } => ("succeeded", digest.as_ref(), None),
            Outcome::Failed(failure) => ("failed", None, Some(failure)),
            Outcome::Waiting { .. } | Outcome::Running { .. } => return Ok(false),
        };
        let mut db = begin::begin(&self.pool).await?;
        let started = seen.iter().any(|attempt| attempt.started_at.is_some());
        if !end(&mut db, id, (state, started), digest, failure, retries).await? {
            return Ok(false);
        }
        attempts::record(&mut db, id, seen).await?;
        if failure.is_some() {
            cut_off(&mut db, id).await?;
        }
        db.commit().await?;
        self.build_changed(id);
        self.wake(Topic::Queue);
        Ok(true)
    }

    /// The pod of a cancelling build is gone: cancelling to cancelled. False also while a launch that had begun before
    /// the cancel may still make its Job.
    pub async fn cancelled(&self, id: BuildId) -> Result<bool, StoreError> {
        let changed = sqlx::query_scalar!(
            "
            WITH changed AS (
                UPDATE builds SET state = 'cancelled', finished_at = now(), phase = NULL, waiting_since = NULL,
                    waiting_reason = NULL, waiting_message = NULL, lease_until = NULL, claim_token = NULL,
                    version = version + 1
                WHERE id = $1 AND state = 'cancelling' AND (lease_until IS NULL OR lease_until < now()) RETURNING id
            ), event AS (
                INSERT INTO build_events (build_id, state) SELECT id, 'cancelled' FROM changed
            ), cut AS (
                UPDATE attempts SET state = 'failed', finished_at = coalesce(finished_at, now())
                WHERE build_id IN (SELECT id FROM changed) AND state IN ('pending', 'running')
            )
            SELECT id FROM changed
            ",
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        if changed.is_some() {
            self.build_changed(id);
            self.wake(Topic::Queue);
        }
        Ok(changed.is_some())
    }
}

async fn end(
    db: &mut Transaction<'_, Postgres>,
    id: BuildId,
    (state, started): (&str, bool),
    digest: Option<&Digest>,
    failure: Option<&Failure>,
    retries: u32,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query_scalar!(
        "
        WITH changed AS (
            UPDATE builds SET state = $2::text::build_state, finished_at = now(),
                started_at = coalesce(started_at, CASE WHEN $9 OR $2 = 'succeeded' THEN now() END),
                retries = greatest(retries, $3), phase = NULL, waiting_since = NULL, waiting_reason = NULL,
                waiting_message = NULL, version = version + 1
            WHERE id = $1 AND state = 'running' RETURNING id, state
        ), event AS (
            INSERT INTO build_events (build_id, state, reason, message) SELECT id, state, $5, $6 FROM changed
        ), result AS (
            INSERT INTO results (build_id, digest, reason, message, exit_code, log_snippet)
            SELECT id, $4, $5, $6, $7, $8 FROM changed
        )
        SELECT id FROM changed
        ",
        id.0,
        state,
        super::rows::column::<_, i32>(retries),
        digest.map(Digest::as_str),
        failure.map(|failure| failure.reason.as_str()),
        failure.map(|failure| failure.message.as_str()),
        failure.and_then(|failure| failure.exit_code),
        failure.and_then(|failure| failure.log_snippet.as_deref()),
        started
    )
    .fetch_optional(&mut **db)
    .await?;
    Ok(changed.is_some())
}

/// An attempt that had not ended when its build did is not running any more: it waited for too long, or its pod went
/// away unseen.
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
