//! Logs of attempts as they are read: compressed chunks that follow one another without a gap.

use std::io::{Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

use super::{
    Store, StoreError,
    rows::{column, length},
};
use crate::domain::BuildId;

/// A stretch of an attempt's stored log.
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
    ) -> Result<Option<LogSlice>, StoreError> {
        let Some(log) = sqlx::query!(
            r#"
            SELECT a.name, coalesce(l.bytes, 0) AS "bytes!", coalesce(l.complete, false) AS "complete!"
            FROM attempts a LEFT JOIN logs l ON l.build_id = a.build_id AND l.attempt = a.name
            WHERE a.build_id = $1 AND a.number = $2
            "#,
            id.0,
            column::<_, i32>(attempt)
        )
        .fetch_optional(&self.pool)
        .await?
        else {
            return Ok(None);
        };
        let total = length(log.bytes);
        let end = total.min(offset.saturating_add(u64::from(limit)));
        Ok(Some(LogSlice {
            offset,
            bytes: self.log_bytes(id, &log.name, offset, end).await?,
            total,
            complete: log.complete,
        }))
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
            let whole = unpack(&chunk.body, chunk.length)?;
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

pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to a vector cannot fail")
}

fn unpack(body: &[u8], length: i32) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    ZlibDecoder::new(body)
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::Query(sqlx::Error::Decode(error.into())))?;
    Ok(bytes)
}
