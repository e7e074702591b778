//! Records observations of builds that hold slots.

use std::time::Duration;

use sqlx::{PgExecutor, Postgres, Transaction};
use uuid::Uuid;

use super::{
    OfJob, Store, StoreError, attempts as attempt_rows, begin,
    builds::attempts,
    rows::{Named, column, count},
};
use crate::domain::{Attempt, AttemptSeen, AttemptState, BuildId, Outcome, Phase, Reason, State};

/// Build that holds a slot, as the observer compares it with the cluster.
#[derive(Debug, Clone)]
pub struct Live {
    /// The build's identifier.
    pub id: BuildId,
    /// `launching`, `running` or `cancelling`.
    pub state: State,
    /// Uid of the Job, once recorded.
    pub external_id: Option<String>,
    /// Number of times its Job was created again after it was lost.
    pub relaunches: u32,
}

/// State of a build that may hold no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The build's identifier.
    pub id: BuildId,
    /// Its state.
    pub state: State,
    /// Time since its end, by the database's clock; `None` if it has not ended.
    pub ended_for: Option<Duration>,
}

/// Result of recording an observation of a running build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The observation is recorded.
    Yes {
        /// Time for which the build has waited without a container, by the database's clock; `None` if it
        /// does not wait.
        waiting_for: Option<Duration>,
    },
    /// Nothing was written: the build is no longer running or cancelling, or has another Job.
    Stale,
}

/// Columns of a build that an observation may change.
#[derive(Debug, Clone, PartialEq)]
struct Progress {
    phase: Option<Phase>,
    waiting: bool,
    /// `true` if the wait begins anew.
    anew: bool,
    reason: Option<Reason>,
    message: Option<String>,
    started: bool,
    retries: u32,
}

impl Store {
    /// Returns builds that hold a slot, in the order of their ids, after `after`.
    pub async fn live(&self, after: Option<BuildId>, limit: u32) -> Result<Vec<Live>, StoreError> {
        let rows = sqlx::query!(
            r#"
            WITH held AS MATERIALIZED (
                SELECT id FROM held_slots WHERE id > $1 ORDER BY id LIMIT $2
            )
            SELECT b.id, b.state AS "state: Named<State>", b.external_id, b.relaunches
            FROM held JOIN builds b ON b.id = held.id ORDER BY b.id
            "#,
            after.map_or(Uuid::nil(), |id| id.0),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Live {
                id: BuildId(row.id),
                state: row.state.0,
                external_id: row.external_id,
                relaunches: count(row.relaunches),
            })
            .collect())
    }

    /// Returns builds that are cancelling, in the order of their ids, after `after`.
    pub async fn cancelling(&self, after: Option<BuildId>, limit: u32) -> Result<Vec<BuildId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"
            SELECT id AS "id!" FROM held_slots WHERE state = 'cancelling' AND id > $1 ORDER BY id LIMIT $2
            "#,
            after.map_or(Uuid::nil(), |id| id.0),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(BuildId).collect())
    }

    /// Returns the states of these builds, for Jobs whose builds may hold no slot.
    pub async fn standings(&self, ids: &[BuildId]) -> Result<Vec<Standing>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query!(
            r#"
            SELECT id, state AS "state: Named<State>",
                extract(epoch FROM now() - finished_at)::float8 AS ended_for
            FROM builds WHERE id = ANY($1)
            "#,
            &ids
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Standing {
                id: BuildId(row.id),
                state: row.state.0,
                ended_for: row
                    .ended_for
                    .map(|s| Duration::try_from_secs_f64(s).unwrap_or_default()),
            })
            .collect())
    }

    /// Records attempts, retries and a non-terminal outcome of a running (or cancelling) build. Writes only
    /// changes.
    pub async fn observe(
        &self,
        of: impl Into<OfJob<'_>>,
        outcome: &Outcome,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<Recorded, StoreError> {
        let of = of.into();
        let id = of.build;
        let Some((old, waiting_for)) = progress(&self.pool, of).await? else {
            return Ok(Recorded::Stale);
        };
        let known = attempts(&self.pool, id).await?;
        let changed = attempt_rows::changes(&known, seen);
        if changed.is_empty() && old.after(outcome, &known, &known, retries) == old {
            return Ok(Recorded::Yes { waiting_for });
        }
        // Reads again with the row locked: another process may have written in between.
        let mut db = begin::begin(&self.pool).await?;
        if !lock(&mut db, of).await? {
            return Ok(Recorded::Stale);
        }
        let Some((old, _)) = progress(&mut *db, of).await? else {
            return Ok(Recorded::Stale);
        };
        let before = attempts(&mut *db, id).await?;
        let recorded = attempt_rows::record(&mut db, &[(id, seen)]).await?;
        let after = if recorded {
            attempts(&mut *db, id).await?
        } else {
            before.clone()
        };
        let new = old.after(outcome, &before, &after, retries);
        let waiting_for = write(&mut db, id, &new).await?;
        db.commit().await?;
        self.build_changed(id);
        Ok(Recorded::Yes { waiting_for })
    }
}

impl Progress {
    /// Returns the progress after this outcome. A phase never goes back within an attempt.
    fn after(&self, outcome: &Outcome, before: &[Attempt], attempts: &[Attempt], retries: u32) -> Self {
        let same_attempt = before.len() == attempts.len();
        let running = attempts
            .last()
            .is_some_and(|last| last.state == AttemptState::Running);
        let mut new = self.clone();
        new.retries = self.retries.max(retries);
        // The wait of an attempt includes neither that of the previous attempt nor the time between the two.
        new.anew = !same_attempt && !before.is_empty();
        match outcome {
            Outcome::Waiting { reason, message } => {
                // Between two containers of one pod none runs, but the attempt continues.
                if !(same_attempt && running) {
                    new.phase = Some(Phase::Pending);
                }
                new.waiting = true;
                new.reason = *reason;
                new.message.clone_from(message);
            }
            Outcome::Running { phase } => {
                let least = self.phase.filter(|_| same_attempt);
                new.phase = Some(least.map_or(*phase, |least| least.max(*phase)));
                (new.waiting, new.reason, new.message) = (false, None, None);
                new.started = true;
            }
            Outcome::Succeeded { .. } | Outcome::Failed(_) => {}
        }
        new
    }
}

async fn lock(db: &mut Transaction<'_, Postgres>, of: OfJob<'_>) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "SELECT id FROM builds WHERE id = $1 AND state IN ('running', 'cancelling')
            AND ($2::text IS NULL OR external_id = $2)
        FOR NO KEY UPDATE",
        of.id(),
        of.job
    )
    .fetch_optional(&mut **db)
    .await?;
    Ok(row.is_some())
}

/// Returns the recorded progress of a running or cancelling build, and the time for which it has waited.
async fn progress(
    db: impl PgExecutor<'_>,
    of: OfJob<'_>,
) -> Result<Option<(Progress, Option<Duration>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT phase AS "phase: Named<Phase>", waiting_reason AS "reason: Named<Reason>", waiting_message AS message,
            extract(epoch FROM clock_timestamp() - waiting_since)::float8 AS waiting,
            started_at IS NOT NULL AS "started!", retries
        FROM builds WHERE id = $1 AND state IN ('running', 'cancelling')
            AND ($2::text IS NULL OR external_id = $2)
        "#,
        of.id(),
        of.job
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let progress = Progress {
            phase: row.phase.map(|phase| phase.0),
            waiting: row.waiting.is_some(),
            anew: false,
            reason: row.reason.map(|reason| reason.0),
            message: row.message,
            started: row.started,
            retries: count(row.retries),
        };
        (progress, row.waiting.map(seconds))
    }))
}

/// Writes the progress of a locked build. Returns the time for which it has waited.
async fn write(
    db: &mut Transaction<'_, Postgres>,
    id: BuildId,
    progress: &Progress,
) -> Result<Option<Duration>, sqlx::Error> {
    let waiting = sqlx::query_scalar!(
        "
        UPDATE builds SET phase = $2::text::build_phase,
            waiting_since = CASE WHEN $3 AND $8 THEN now() WHEN $3 THEN coalesce(waiting_since, now()) END,
            waiting_reason = $4, waiting_message = $5,
            started_at = coalesce(started_at, CASE WHEN $6 THEN now() END),
            retries = $7, version = version + 1
        WHERE id = $1 AND state IN ('running', 'cancelling')
        RETURNING extract(epoch FROM clock_timestamp() - waiting_since)::float8
        ",
        id.0,
        progress.phase.map(Phase::as_str),
        progress.waiting,
        progress.reason.map(Reason::as_str),
        progress.message,
        progress.started,
        column::<_, i32>(progress.retries),
        progress.anew
    )
    .fetch_one(&mut **db)
    .await?;
    Ok(waiting.map(seconds))
}

/// Converts a span measured by the database, whose clock may have been set back meanwhile.
fn seconds(span: f64) -> Duration {
    Duration::try_from_secs_f64(span).unwrap_or_default()
}
