//! Reads of attempts' logs, which are stored as compressed chunks without gaps.

use super::{
    Store, StoreError,
    rows::{column, length},
};
use crate::domain::{BuildId, log_chunk::unpack};

impl Store {
    /// Returns the number of stored bytes of an attempt's log.
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

    /// Returns the bytes from `offset` up to `end`, as far as they are in the database.
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
