//! Appends to logs in chunks, each stored with the position in the container's own log.

use super::{
    Store, StoreError,
    rows::{column, length},
};
use crate::domain::{
    BuildId,
    log::SourceMark,
    log_chunk::{CHUNK, pack},
};

/// End of a stored log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// Number of bytes stored.
    pub bytes: u64,
    /// Position in the container's log up to which they were made.
    pub source: SourceMark,
}

impl Store {
    /// Returns the end of an attempt's log.
    pub async fn log_end(&self, id: BuildId, attempt: &str) -> Result<LogEnd, StoreError> {
        let row = sqlx::query!(
            "SELECT bytes, source_bytes, source_cut, source_key FROM logs WHERE build_id = $1 AND attempt = $2",
            id.0,
            attempt
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map_or_else(LogEnd::default, |row| LogEnd {
            bytes: length(row.bytes),
            source: SourceMark {
                bytes: length(row.source_bytes),
                cut: row.source_cut,
                key: row.source_key,
            },
        }))
    }

    /// Appends a chunk, made of the container's log up to `source`, if the stored log ends exactly at `end`.
    /// The log's row is locked meanwhile: of two writers the later one finds another end, and stores nothing
    /// (false).
    pub async fn append_kept(
        &self,
        id: BuildId,
        attempt: &str,
        end: LogEnd,
        chunk: &[u8],
        source: SourceMark,
    ) -> Result<bool, StoreError> {
        let added = sqlx::query!(
            "
            WITH begun AS (
                INSERT INTO logs (build_id, attempt, bytes, source_bytes, source_cut, source_key)
                SELECT $1, $2, $4, $7, $8, $9 WHERE $3 = 0::bigint AND $6 = 0::bigint
                ON CONFLICT (build_id, attempt) DO UPDATE SET bytes = excluded.bytes,
                    source_bytes = excluded.source_bytes, source_cut = excluded.source_cut,
                    source_key = excluded.source_key
                WHERE logs.bytes = 0 AND logs.source_bytes = 0
                RETURNING 1
            ), continued AS (
                UPDATE logs SET bytes = bytes + $4, source_bytes = $7, source_cut = $8, source_key = $9
                WHERE build_id = $1 AND attempt = $2 AND bytes = $3 AND source_bytes = $6 AND $3 > 0::bigint
                    AND archive_ends IS NULL
                RETURNING 1
            )
            INSERT INTO log_chunks (build_id, attempt, byte_offset, length, body)
            SELECT $1, $2, $3, $4::bigint, $5 WHERE EXISTS (SELECT FROM begun) OR EXISTS (SELECT FROM continued)
            ",
            id.0,
            attempt,
            column::<_, i64>(end.bytes),
            column::<_, i64>(chunk.len()),
            pack(chunk),
            column::<_, i64>(end.source.bytes),
            column::<_, i64>(source.bytes),
            source.cut,
            source.key
        )
        .execute(&self.pool)
        .await?;
        let added = added.rows_affected() == 1;
        if added {
            self.log_grew(id);
        }
        Ok(added)
    }

    /// Appends bytes at `offset` to an attempt's log that is stored without filtering. Skips bytes that are
    /// stored already; refuses a gap (false).
    pub async fn append_log(
        &self,
        id: BuildId,
        attempt: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
            let as_it_came = |bytes| LogEnd {
                bytes,
                source: SourceMark {
                    bytes,
                    ..SourceMark::default()
                },
            };
            let next = offset + chunk.len() as u64;
            let (from, to) = (as_it_came(offset), as_it_came(next).source);
            if self.append_kept(id, attempt, from, chunk, to).await? {
                offset = next;
                rest = after;
                continue;
            }
            // Another writer has stored these bytes, or earlier bytes are missing.
            let stored = self.log_length(id, attempt).await?;
            if stored <= offset {
                return Ok(false);
            }
            let known = usize::try_from(stored - offset).unwrap_or(usize::MAX);
            rest = rest.get(known..).unwrap_or_default();
            offset = stored;
        }
        Ok(true)
    }

    /// Marks an attempt's log as complete.
    pub async fn complete_log(&self, id: BuildId, attempt: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO logs (build_id, attempt, complete) VALUES ($1, $2, true)
            ON CONFLICT (build_id, attempt) DO UPDATE SET complete = true WHERE NOT logs.complete",
            id.0,
            attempt
        )
        .execute(&self.pool)
        .await?;
        self.log_grew(id);
        Ok(())
    }

    /// Marks all logs of a build as complete: nothing is left of its pods, so nothing can be added.
    pub async fn complete_logs(&self, id: BuildId) -> Result<(), StoreError> {
        let completed = sqlx::query!(
            "INSERT INTO logs (build_id, attempt, complete)
            SELECT build_id, name, true FROM attempts WHERE build_id = $1
            ON CONFLICT (build_id, attempt) DO UPDATE SET complete = true WHERE NOT logs.complete",
            id.0
        )
        .execute(&self.pool)
        .await?;
        if completed.rows_affected() > 0 {
            self.log_grew(id);
        }
        Ok(())
    }
}
