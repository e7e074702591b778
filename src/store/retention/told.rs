//! What was told of builds, and to whom.

use std::time::Duration;

use uuid::Uuid;

use super::{BATCH, Batch};
use crate::store::{Store, StoreError, rows::length};

impl Store {
    /// Removes notifications, with their tries, that were made longer ago than `age`: the next of them after this one.
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
            // Beyond the first that is young enough, all are.
            next: row.last.filter(|_| row.seen == BATCH),
        })
    }

    /// Forgets whose commits bore the status of builds that were made longer ago than `age`.
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
