//! Moves logs to the archive. The caller writes the object between the two writes of this module.

use std::time::Duration;

use super::{BATCH, LogKey};
use crate::{
    domain::BuildId,
    store::{
        Store, StoreError, begin,
        rows::{column, length},
    },
};

impl Store {
    /// Returns the logs to archive in the batch after `after`: complete, of builds that ended longer ago than
    /// `age`, and not in the archive. Also returns the start of the next batch.
    pub async fn unarchived_logs(
        &self,
        age: Duration,
        after: &LogKey,
    ) -> Result<(Vec<LogKey>, Option<LogKey>), StoreError> {
        let mut db = self.begin_batch().await?;
        let rows = sqlx::query_file!(
            "src/store/retention/unarchived.sql",
            after.build.0,
            after.attempt,
            age.as_secs_f64()
        )
        .fetch_all(&mut *db)
        .await?;
        db.commit().await?;
        let full = column::<_, i64>(rows.len()) == BATCH;
        let seen: Vec<(LogKey, bool)> = rows
            .into_iter()
            .map(|row| {
                let key = LogKey {
                    build: BuildId(row.build_id),
                    attempt: row.attempt,
                };
                (key, row.due)
            })
            .collect();
        let last = seen.last().filter(|_| full).map(|(key, _)| key.clone());
        let due = seen.into_iter().filter_map(|(key, due)| due.then_some(key));
        Ok((due.collect(), last))
    }

    /// Records that an object of this log may exist from now on, and returns the log's length. Returns `None`
    /// if the log must not be archived any more.
    pub async fn begin_archive(&self, log: &LogKey) -> Result<Option<u64>, StoreError> {
        let bytes = sqlx::query_scalar!(
            "
            UPDATE logs SET archive_begun_at = now()
            WHERE build_id = $1 AND attempt = $2 AND complete AND archive_ends IS NULL AND removed_at IS NULL
            RETURNING bytes
            ",
            log.build.0,
            log.attempt
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(bytes.map(length))
    }

    /// Returns a range of a log from the database. Fails if it is not completely there.
    pub async fn log_piece(&self, log: &LogKey, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.log_bytes(log.build, &log.attempt, from, to).await?;
        if bytes.len() as u64 == to - from {
            Ok(bytes)
        } else {
            Err(StoreError::Query(sqlx::Error::Decode(
                "chunks are missing from the log".into(),
            )))
        }
    }

    /// Records that the whole log, of this length, is an object whose chunks end at `ends`, and removes its
    /// chunks from the database. Returns false if the log was changed, archived or removed meanwhile.
    pub async fn end_archive(&self, log: &LogKey, bytes: u64, ends: &[u64]) -> Result<bool, StoreError> {
        let ends: Vec<i64> = ends.iter().map(|end| column(*end)).collect();
        let mut db = begin::begin(&self.pool).await?;
        let recorded = sqlx::query!(
            "
            UPDATE logs SET archive_ends = $4
            WHERE build_id = $1 AND attempt = $2 AND bytes = $3 AND complete AND archive_begun_at IS NOT NULL
                AND archive_ends IS NULL AND removed_at IS NULL
            ",
            log.build.0,
            log.attempt,
            column::<_, i64>(bytes),
            &ends
        )
        .execute(&mut *db)
        .await?;
        if recorded.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!(
            "DELETE FROM log_chunks WHERE build_id = $1 AND attempt = $2",
            log.build.0,
            log.attempt
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(true)
    }
}
