//! Retention of idempotency keys and events; no other rows belong to them.

use std::time::Duration;

use uuid::Uuid;

use super::{BATCH, Batch};
use crate::store::{Store, StoreError, rows::length};

/// Position of an event in the order of builds, then of events.
pub type EventKey = (Uuid, i64);

impl Store {
    /// Removes idempotency keys that were used longer ago than `age`, in the batch after the key of the build
    /// `after`.
    pub async fn remove_old_keys(&self, age: Duration, after: Uuid) -> Result<Batch<Uuid>, StoreError> {
        let mut db = self.begin_batch().await?;
        let row = sqlx::query_file!("src/store/retention/keys.sql", after, age.as_secs_f64())
            .fetch_one(&mut *db)
            .await?;
        db.commit().await?;
        Ok(Batch {
            removed: length(row.removed),
            next: row.last.filter(|_| row.seen == BATCH),
        })
    }

    /// Removes events of builds that ended longer ago than `age`, in the batch after `after`.
    pub async fn remove_old_events(
        &self,
        age: Duration,
        after: EventKey,
    ) -> Result<Batch<EventKey>, StoreError> {
        let mut db = self.begin_batch().await?;
        let row = sqlx::query_file!(
            "src/store/retention/events.sql",
            after.0,
            after.1,
            age.as_secs_f64()
        )
        .fetch_one(&mut *db)
        .await?;
        db.commit().await?;
        Ok(Batch {
            removed: length(row.removed),
            next: row.build_id.zip(row.id).filter(|_| row.seen == BATCH),
        })
    }
}
