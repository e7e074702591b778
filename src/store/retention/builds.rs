//! Retention of finished builds, with all related rows.

use std::time::Duration;

use uuid::Uuid;

use super::{BATCH, Batch};
use crate::store::{
    Store, StoreError,
    rows::{column, length},
};

impl Store {
    /// Removes builds that ended longer ago than `age` and have no log left, in the batch after `after`.
    pub async fn remove_old_builds(&self, age: Duration, after: Uuid) -> Result<Batch<Uuid>, StoreError> {
        let mut db = self.begin_batch().await?;
        let seen = sqlx::query_file!("src/store/retention/builds_due.sql", after, age.as_secs_f64())
            .fetch_all(&mut *db)
            .await?;
        let last = seen.last().map(|row| row.id);
        let full = column::<_, i64>(seen.len()) == BATCH;
        let due: Vec<Uuid> = seen
            .into_iter()
            .filter_map(|row| row.due.then_some(row.id))
            .collect();
        let removed = if due.is_empty() {
            0
        } else {
            sqlx::query_file_scalar!("src/store/retention/builds_removed.sql", &due)
                .fetch_one(&mut *db)
                .await?
        };
        db.commit().await?;
        Ok(Batch {
            removed: length(removed),
            next: last.filter(|_| full),
        })
    }
}
