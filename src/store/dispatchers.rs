//! Heartbeats of dispatchers, read to report how the queue moves.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Slots, Store, StoreError, rows::column};
use crate::domain::queue::Service;

/// Age of the last heartbeat after which a dispatcher counts as gone.
const GONE: Duration = Duration::from_secs(30);

impl Store {
    /// Records a heartbeat: the dispatcher is alive, claims with these slots, and the cluster answers it or
    /// not. Call it every few seconds.
    pub async fn dispatcher_seen(&self, id: Uuid, slots: Slots, answers: bool) -> Result<(), StoreError> {
        sqlx::query!(
            "
            WITH gone AS (
                DELETE FROM dispatchers WHERE id <> $1 AND seen_at < now() - interval '1 h'
            )
            INSERT INTO dispatchers (id, slots, slots_per_project, answers) VALUES ($1, $2, $3, $4)
            ON CONFLICT (id) DO UPDATE SET seen_at = now(), slots = excluded.slots,
                slots_per_project = excluded.slots_per_project, answers = excluded.answers
            ",
            id,
            column::<_, i32>(slots.total),
            column::<_, i32>(slots.per_project),
            answers
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes the heartbeat of a dispatcher that stops.
    pub async fn dispatcher_gone(&self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM dispatchers WHERE id = $1", id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Returns the state that the live dispatchers report; `None` if there is none. Of replicas with different
/// settings, the greatest number of slots counts.
pub(super) async fn service(db: impl PgExecutor<'_>) -> Result<Option<Service>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT max(slots) AS slots, max(slots_per_project) AS per_project, bool_or(answers) AS answers
        FROM dispatchers WHERE seen_at > now() - make_interval(secs => $1)
        "#,
        GONE.as_secs_f64()
    )
    .fetch_one(db)
    .await?;
    Ok(row
        .slots
        .zip(row.per_project)
        .map(|(slots, per_project)| Service {
            slots: u64::try_from(slots).unwrap_or_default(),
            per_project: u64::try_from(per_project).unwrap_or_default(),
            answers: row.answers.unwrap_or_default(),
        }))
}
