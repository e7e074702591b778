//! Records the results of delivery attempts.

use std::time::Duration;

use sqlx::PgConnection;

use super::Due;
use crate::{
    domain::{EndpointId, ProjectName},
    store::{
        Store, StoreError, begin, endpoints,
        rows::{Named, column},
    },
};

/// Consequence of a delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryOutcome {
    /// The notification was accepted.
    Delivered,
    /// The notification was not accepted; the next delivery attempt follows after this time.
    Again(Duration),
    /// The notification was not accepted and is given up.
    GivenUp,
    /// The webhook endpoint answered 410: it accepts no more notifications.
    Unwanted,
}

/// Observed result of a delivery attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrySeen {
    /// Its duration.
    pub duration: Duration,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Reason why it does not count as accepted.
    pub error: Option<String>,
    /// First bytes of the answer's body.
    pub answer: Option<String>,
}

/// Reason for disabling a webhook endpoint that answers 410.
const UNWANTED: &str = "it answered 410 Gone";

impl Store {
    /// Records the result of a delivery attempt. If the notification is finished, the build's next one to the
    /// same target becomes due. Disables a webhook endpoint that accepted nothing for `patience`. Returns
    /// false if the claim has passed to another process.
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
        // This order prevents a deadlock: a change of the webhook endpoint also locks it before its
        // notifications.
        if let Some(endpoint) = done.endpoint_id {
            judge(&mut db, EndpointId(endpoint), outcome, patience).await?;
        }
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
        db.commit().await?;
        Ok(true)
    }
}

/// Updates the time since which the webhook endpoint has failed. Disables it if that is too long ago, or if
/// it answered 410.
async fn judge(
    db: &mut PgConnection,
    id: EndpointId,
    outcome: &TryOutcome,
    patience: Duration,
) -> Result<(), sqlx::Error> {
    let delivered = *outcome == TryOutcome::Delivered;
    sqlx::query!(
        "
        UPDATE endpoints SET failing_since = CASE WHEN $2 THEN NULL ELSE coalesce(failing_since, now()) END
        WHERE id = $1 AND $2 = (failing_since IS NOT NULL)
        ",
        id.0,
        delivered
    )
    .execute(&mut *db)
    .await?;
    if delivered {
        return Ok(());
    }
    let reason = match outcome {
        TryOutcome::Unwanted => UNWANTED.to_owned(),
        _ => format!("it took nothing for {} days", patience.as_secs() / 86_400),
    };
    let disabled = sqlx::query_scalar!(
        r#"
        UPDATE endpoints e SET enabled = false, disabled_reason = $4 FROM projects p
        WHERE e.id = $1 AND e.enabled AND p.id = e.project_id
            AND ($2 OR e.failing_since <= now() - make_interval(secs => $3))
        RETURNING p.name AS "name: Named<ProjectName>"
        "#,
        id.0,
        *outcome == TryOutcome::Unwanted,
        patience.as_secs_f64(),
        reason
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(project) = disabled {
        endpoints::disabled(db, id, &project.0, &reason).await?;
    }
    Ok(())
}
