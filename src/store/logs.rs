//! Logs of attempts, in compressed chunks that follow one another without a gap.

use super::{
    Store, StoreError,
    rows::{column, length},
};
use crate::domain::{
    BuildId,
    log_chunk::{CHUNK, pack, unpack},
};

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

    /// The bytes from `offset` up to `end`, as far as they are in the database.
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
