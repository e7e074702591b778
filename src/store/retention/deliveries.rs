//! Retention of deliveries to triggers; no other rows belong to them.

use std::time::Duration;

use uuid::Uuid;

use super::{BATCH, Batch};
use crate::store::{Store, StoreError, rows::length};

impl Store {
    /// Removes deliveries that arrived longer ago than `age`, in the batch after `after`.
    pub async fn remove_old_deliveries(&self, age: Duration, after: Uuid) -> Result<Batch<Uuid>, StoreError> {
        let mut db = self.begin_batch().await?;
        let row = sqlx::query_file!("src/store/retention/deliveries.sql", after, age.as_secs_f64())
            .fetch_one(&mut *db)
            .await?;
        db.commit().await?;
        Ok(Batch {
            removed: length(row.removed),
            next: row.last.filter(|_| row.seen == BATCH),
        })
    }
}
