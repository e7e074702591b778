//! Logs of attempts, in compressed chunks that follow one another without a gap.

use super::{
    Store, StoreError,
    rows::{column, length},
};
use crate::domain::{
    BuildId,
    log_chunk::{CHUNK, pack, unpack},
};

/// How often a log is looked for that moves meanwhile, which it does once.
const TRIES: usize = 3;

/// Where a stretch of an attempt's log is.
#[derive(Debug, Clone)]
pub enum StoredLog {
    /// In the database.
    Here(LogSlice),
    /// In the archive, from the slice's offset up to `end`; the slice itself holds no bytes.
    Archived {
        /// The slice as it would be.
        slice: LogSlice,
        /// The attempt's name.
        attempt: String,
        /// Where the object's chunks end.
        ends: Vec<u64>,
        /// Where the stretch ends.
        end: u64,
    },
    /// Nowhere: its time was over.
    Removed,
}

/// A stretch of an attempt's log.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// The byte that it begins at.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Bytes stored so far.
    pub total: u64,
    /// Whether nothing will be added any more.
    pub complete: bool,
}

impl Store {
    /// Appends to an attempt's log at `offset`. What is stored already is not stored again; a gap is refused (false).
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
            if self.append_chunk(id, attempt, offset, chunk).await? {
                offset += chunk.len() as u64;
                rest = after;
                continue;
            }
            // Somebody was here before, or something is missing.
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

    /// Adds a chunk if the log ends just where it begins. The log's row is locked meanwhile: of two writers one is
    /// late, and finds another end.
    async fn append_chunk(
        &self,
        id: BuildId,
        attempt: &str,
        offset: u64,
        chunk: &[u8],
    ) -> Result<bool, StoreError> {
        let body = pack(chunk);
        let added = sqlx::query!(
            "
            WITH begun AS (
                INSERT INTO logs (build_id, attempt, bytes) SELECT $1, $2, $4 WHERE $3 = 0::bigint
                ON CONFLICT (build_id, attempt) DO UPDATE SET bytes = excluded.bytes WHERE logs.bytes = 0
                RETURNING 1
            ), continued AS (
                UPDATE logs SET bytes = bytes + $4
                WHERE build_id = $1 AND attempt = $2 AND bytes = $3 AND $3 > 0::bigint AND archive_ends IS NULL
                RETURNING 1
            )
            INSERT INTO log_chunks (build_id, attempt, byte_offset, length, body)
            SELECT $1, $2, $3, $4::bigint, $5 WHERE EXISTS (SELECT FROM begun) OR EXISTS (SELECT FROM continued)
            ",
            id.0,
            attempt,
            column::<_, i64>(offset),
            column::<_, i64>(chunk.len()),
            body
        )
        .execute(&self.pool)
        .await?;
        let added = added.rows_affected() == 1;
        if added {
            self.log_grew(id);
        }
        Ok(added)
    }

    /// Says that an attempt's log is whole.
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

    /// Bytes of an attempt's log that are stored.
    pub async fn log_length(&self, id: BuildId, attempt: &str) -> Result<u64, StoreError> {
        let bytes = sqlx::query_scalar!(
            "SELECT bytes FROM logs WHERE build_id = $1 AND attempt = $2",
            id.0,
            attempt
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(bytes.map_or(0, length))
    }

    /// A stretch of an attempt's log (attempts counted from 1). `None`: no such build or attempt.
    pub async fn log(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<StoredLog>, StoreError> {
        for _ in 0..TRIES {
            let Some(log) = self.log_row(id, attempt).await? else {
                return Ok(None);
            };
            if log.removed {
                return Ok(Some(StoredLog::Removed));
            }
            let total = length(log.bytes);
            let end = total.min(offset.saturating_add(u64::from(limit)));
            let mut slice = LogSlice {
                offset,
                bytes: Vec::new(),
                total,
                complete: log.complete,
            };
            if let Some(ends) = log.archive_ends {
                return Ok(Some(StoredLog::Archived {
                    slice,
                    attempt: log.name,
                    ends: ends.into_iter().map(length).collect(),
                    end,
                }));
            }
            slice.bytes = self.log_bytes(id, &log.name, offset, end).await?;
            // Else it was moved or removed after its row had been read.
            if slice.bytes.len() as u64 == end.saturating_sub(offset) {
                return Ok(Some(StoredLog::Here(slice)));
            }
        }
        Err(StoreError::unavailable("the log is being moved"))
    }

    async fn log_row(&self, id: BuildId, attempt: u32) -> Result<Option<LogRow>, sqlx::Error> {
        sqlx::query_as!(
            LogRow,
            r#"
            SELECT a.name, coalesce(l.bytes, 0) AS "bytes!", coalesce(l.complete, false) AS "complete!",
                l.archive_ends, a.log_removed OR l.removed_at IS NOT NULL AS "removed!"
            FROM attempts a LEFT JOIN logs l ON l.build_id = a.build_id AND l.attempt = a.name
            WHERE a.build_id = $1 AND a.number = $2
            "#,
            id.0,
            column::<_, i32>(attempt)
        )
        .fetch_optional(&self.pool)
        .await
    }

    /// The bytes from `offset` up to `end`, which are stored.
    pub(super) async fn log_bytes(
        &self,
        id: BuildId,
        attempt: &str,
        offset: u64,
        end: u64,
    ) -> Result<Vec<u8>, StoreError> {
        if offset >= end {
            return Ok(Vec::new());
        }
        let chunks = sqlx::query!(
            "
            SELECT byte_offset, length, body FROM log_chunks
            WHERE build_id = $1 AND attempt = $2 AND byte_offset < $4 AND byte_offset >= (
                SELECT max(byte_offset) FROM log_chunks
                WHERE build_id = $1 AND attempt = $2 AND byte_offset <= $3
            )
            ORDER BY byte_offset
            ",
            id.0,
            attempt,
            column::<_, i64>(offset),
            column::<_, i64>(end)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut bytes = Vec::new();
        for chunk in chunks {
            let start = length(chunk.byte_offset);
            let whole = unpack(&chunk.body, usize::try_from(chunk.length).unwrap_or_default())
                .map_err(|error| StoreError::Query(sqlx::Error::Decode(error.into())))?;
            let within = |at: u64| {
                usize::try_from(at.saturating_sub(start))
                    .unwrap_or(usize::MAX)
                    .min(whole.len())
            };
            bytes.extend_from_slice(&whole[within(offset)..within(end)]);
        }
        Ok(bytes)
    }
}

/// Where a log is, and how long it is.
struct LogRow {
    name: String,
    bytes: i64,
    complete: bool,
    archive_ends: Option<Vec<i64>>,
    removed: bool,
}
