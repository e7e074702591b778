//! Old logs: found, marked as removed, and removed bit by bit. Objects in the archive are the caller's to remove.

use std::time::Duration;

use uuid::Uuid;

use super::BATCH;
use crate::{
    domain::BuildId,
    store::{Store, StoreError, rows::column},
};

/// Which attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// Of which build.
    pub build: BuildId,
    /// The attempt's name.
    pub attempt: String,
}

impl LogKey {
    /// Comes before every log.
    pub fn first() -> Self {
        Self {
            build: BuildId(Uuid::nil()),
            attempt: String::new(),
        }
    }
}

/// A log whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldLog {
    /// Which one.
    pub key: LogKey,
    /// There may be an object of it in the archive.
    pub archived: bool,
}

/// Logs column by column, as statements take them.
fn columns(logs: &[LogKey]) -> (Vec<Uuid>, Vec<String>) {
    logs.iter().map(|log| (log.build.0, log.attempt.clone())).unzip()
}

impl Store {
    /// Logs of builds that ended longer ago than `age`, among the next after this one; and where to go on.
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

    /// Says that these logs are removed, which from then on they are for every reader.
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

    /// Removes chunks of logs that count as removed, a bounded number: whether there may be more.
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

    /// Forgets logs that count as removed and of which nothing is left, here or in the archive.
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
