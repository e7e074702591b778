//! Retention of notifications, delivery attempts and commit status targets.

use std::time::Duration;

use uuid::Uuid;

use super::{BATCH, Batch};
use crate::store::{Store, StoreError, rows::length};

impl Store {
    /// Removes finished notifications that were created longer ago than `age`, with their delivery attempts,
    /// in the batch after `after`. Unfinished ones stay for at least 14 days.
    pub async fn remove_old_notifications(
        &self,
        age: Duration,
        after: i64,
    ) -> Result<Batch<i64>, StoreError> {
        let mut db = self.begin_batch().await?;
        let row = sqlx::query_file!("src/store/retention/notifications.sql", after, age.as_secs_f64())
            .fetch_one(&mut *db)
            .await?;
        db.commit().await?;
        Ok(Batch {
            removed: length(row.removed),
            // After the first notification that is too young, all others are, too.
            next: row.last.filter(|_| row.seen == BATCH),
        })
    }

    /// Removes the commit status targets of builds that have ended, or never existed, and are older than
    /// `age` and 30 days, in the batch after `after`.
    pub async fn remove_old_commit_statuses(
        &self,
        age: Duration,
        after: Uuid,
    ) -> Result<Batch<Uuid>, StoreError> {
        let mut db = self.begin_batch().await?;
        let row = sqlx::query_file!(
            "src/store/retention/commit_statuses.sql",
            after,
            age.as_secs_f64()
        )
        .fetch_one(&mut *db)
        .await?;
        db.commit().await?;
        Ok(Batch {
            removed: length(row.removed),
            next: row.last.filter(|_| row.seen == BATCH),
        })
    }
}
