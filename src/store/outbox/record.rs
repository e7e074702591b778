//! What came of a try.

use std::time::Duration;

use super::Due;
use crate::store::{Store, StoreError, begin, rows::column};

/// What is to follow from a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryOutcome {
    /// It was taken.
    Delivered,
    /// It was not, and is tried again after this time.
    Again(Duration),
    /// It was not, and never will be.
    GivenUp,
    /// The endpoint asked for no more (410).
    Unwanted,
}

/// What was seen of a try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrySeen {
    /// How long it took.
    pub duration: Duration,
    /// HTTP's status, where there was an answer.
    pub status: Option<u16>,
    /// Why it does not count as taken.
    pub error: Option<String>,
    /// The first bytes of the answer's body.
    pub answer: Option<String>,
}

/// Why an endpoint that answers 410 is disabled.
const UNWANTED: &str = "it answered 410 Gone";

impl Store {
    /// Records what came of a try, and lets the build's next notification to the same target go. An endpoint that took
    /// nothing for `patience` is disabled. False when the claim has passed on to another.
    pub async fn record_try(
        &self,
        due: &Due,
        seen: &TrySeen,
        outcome: &TryOutcome,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let (state, pause) = match outcome {
            TryOutcome::Delivered => ("delivered", Duration::ZERO),
            TryOutcome::Again(pause) => ("waiting", *pause),
            TryOutcome::GivenUp | TryOutcome::Unwanted => ("failed", Duration::ZERO),
        };
        let mut db = begin::begin(&self.pool).await?;
        let done = sqlx::query!(
            "
            UPDATE notifications SET state = $3, claim = NULL, next_try_at = now() + make_interval(secs => $4),
                finished_at = CASE WHEN $3 <> 'waiting' THEN now() END
            WHERE id = $1 AND claim = $2 RETURNING target, endpoint_id, build_id
            ",
            due.id,
            due.claim,
            state,
            pause.as_secs_f64()
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(done) = done else {
            return Ok(false);
        };
        sqlx::query!(
            "
            INSERT INTO notification_tries (notification_id, number, duration_ms, status, error, answer)
            VALUES ($1, $2, $3, $4, $5, $6)
            ",
            due.id,
            column::<_, i32>(due.number),
            column::<_, i32>(seen.duration.as_millis()),
            seen.status.map(i32::from),
            seen.error.as_deref(),
            seen.answer.as_deref()
        )
        .execute(&mut *db)
        .await?;
        if state != "waiting" {
            sqlx::query!(
                "
                UPDATE notifications SET next_try_at = now()
                WHERE build_id = $1 AND target = $2 AND state = 'waiting' AND claim IS NULL AND id > $3 AND round = 0
                ",
                done.build_id,
                done.target,
                due.id
            )
            .execute(&mut *db)
            .await?;
        }
        if let Some(endpoint) = done.endpoint_id {
            sqlx::query!(
                "
                UPDATE endpoints SET failing_since = CASE WHEN $2 THEN NULL ELSE coalesce(failing_since, now()) END,
                    enabled = enabled AND NOT $3 AND ($2 OR coalesce(failing_since > now() - make_interval(secs => $4), true)),
                    disabled_reason = CASE
                        WHEN NOT enabled OR $2 THEN disabled_reason
                        WHEN $3 THEN $5
                        WHEN failing_since <= now() - make_interval(secs => $4) THEN $6
                    END
                WHERE id = $1 AND (NOT $2 OR failing_since IS NOT NULL)
                ",
                endpoint,
                *outcome == TryOutcome::Delivered,
                *outcome == TryOutcome::Unwanted,
                patience.as_secs_f64(),
                UNWANTED,
                format!("it took nothing for {} days", patience.as_secs() / 86_400)
            )
            .execute(&mut *db)
            .await?;
        }
        db.commit().await?;
        Ok(true)
    }
}
