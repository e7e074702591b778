//! Retention of logs: they are found, marked as removed, and removed chunk by chunk. The caller removes
//! objects in the archive.

use std::time::Duration;

use uuid::Uuid;

use super::BATCH;
use crate::{
    domain::BuildId,
    store::{Store, StoreError, rows::column},
};

/// Key of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// The build's identifier.
    pub build: BuildId,
    /// The attempt's name.
    pub attempt: String,
}

impl LogKey {
    /// Returns the key that precedes every log.
    pub fn first() -> Self {
        Self {
            build: BuildId(Uuid::nil()),
            attempt: String::new(),
        }
    }
}

/// Log whose retention time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldLog {
    /// Key of the log.
    pub key: LogKey,
    /// `true` if the archive may contain an object of it.
    pub archived: bool,
}

/// Splits log keys into columns, the form that the statements take.
fn columns(logs: &[LogKey]) -> (Vec<Uuid>, Vec<String>) {
    logs.iter().map(|log| (log.build.0, log.attempt.clone())).unzip()
}

impl Store {
    /// Returns the logs to remove in the batch after `after`: of builds that ended longer ago than `age` or
    /// are gone. Also returns the start of the next batch.
    pub async fn old_logs(
        &self,
        age: Duration,
        after: &LogKey,
    ) -> Result<(Vec<OldLog>, Option<LogKey>), StoreError> {
        let mut db = self.begin_batch().await?;
        let rows = sqlx::query_file!(
            "src/store/retention/logs_due.sql",
            after.build.0,
            after.attempt,
            age.as_secs_f64()
        )
        .fetch_all(&mut *db)
        .await?;
        db.commit().await?;
        let full = column::<_, i64>(rows.len()) == BATCH;
        let seen: Vec<(OldLog, bool)> = rows
            .into_iter()
            .map(|row| {
                let key = LogKey {
                    build: BuildId(row.build_id),
                    attempt: row.attempt,
                };
                let archived = row.archived;
                (OldLog { key, archived }, row.due)
            })
            .collect();
        let last = seen.last().filter(|_| full).map(|(log, _)| log.key.clone());
        let due = seen.into_iter().filter_map(|(log, due)| due.then_some(log));
        Ok((due.collect(), last))
    }

    /// Marks these logs as removed; from then on readers see them as removed.
    pub async fn mark_logs_removed(&self, logs: &[LogKey]) -> Result<(), StoreError> {
        let (builds, attempts) = columns(logs);
        let mut db = self.begin_batch().await?;
        sqlx::query!(
            "
            WITH marked AS (
                UPDATE logs l SET removed_at = now()
                FROM unnest($1::uuid[], $2::text[]) AS d (build_id, attempt)
                WHERE l.build_id = d.build_id AND l.attempt = d.attempt AND l.removed_at IS NULL
            )
            UPDATE attempts a SET log_removed = true
            FROM unnest($1::uuid[], $2::text[]) AS d (build_id, attempt)
            WHERE a.build_id = d.build_id AND a.name = d.attempt AND NOT a.log_removed
            ",
            &builds,
            &attempts
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(())
    }

    /// Removes a bounded number of chunks of logs that are marked as removed. Returns true if there may be
    /// more.
    pub async fn remove_chunks(&self, logs: &[LogKey]) -> Result<bool, StoreError> {
        let (builds, attempts) = columns(logs);
        let mut db = self.begin_batch().await?;
        let removed = sqlx::query!(
            "
            WITH picked AS MATERIALIZED (
                SELECT c.build_id, c.attempt, c.byte_offset
                FROM unnest($1::uuid[], $2::text[]) AS d (build_id, attempt)
                JOIN logs l ON l.build_id = d.build_id AND l.attempt = d.attempt AND l.removed_at IS NOT NULL
                JOIN log_chunks c ON c.build_id = d.build_id AND c.attempt = d.attempt
                LIMIT 500
            )
            DELETE FROM log_chunks c USING picked s
            WHERE c.build_id = s.build_id AND c.attempt = s.attempt AND c.byte_offset = s.byte_offset
            ",
            &builds,
            &attempts
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(column::<_, i64>(removed.rows_affected()) == BATCH)
    }

    /// Removes the rows of logs that are marked as removed and have nothing left, in the database or in the
    /// archive.
    pub async fn forget_logs(&self, logs: &[LogKey]) -> Result<u64, StoreError> {
        let (builds, attempts) = columns(logs);
        let mut db = self.begin_batch().await?;
        let removed = sqlx::query!(
            "
            DELETE FROM logs l USING unnest($1::uuid[], $2::text[]) AS d (build_id, attempt)
            WHERE l.build_id = d.build_id AND l.attempt = d.attempt AND l.removed_at IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM log_chunks c WHERE c.build_id = d.build_id AND c.attempt = d.attempt
                )
            ",
            &builds,
            &attempts
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(removed.rows_affected())
    }
}
