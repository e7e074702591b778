//! A log as those read it who follow it: from a byte on, with all that tells whether more may come.

use super::{
    Store, StoreError,
    rows::{Named, column, count, length},
};
use crate::domain::{BuildId, State};

/// Chunks that are unpacked at once when lines are counted from the end.
const CHUNKS: i64 = 8;

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Bytes stored so far.
    pub total: u64,
    /// Whether nothing will be added any more.
    pub complete: bool,
    /// Where the build stands.
    pub build: State,
    /// The number of its latest attempt.
    pub latest: u32,
}

impl Store {
    /// How far an attempt's log has come, and what is stored of it from `offset` on, at most `limit` bytes. `None`: no
    /// such build or attempt.
    pub async fn log_from(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<(LogState, Vec<u8>)>, StoreError> {
        let Some((name, state)) = self.log_state(id, attempt).await? else {
            return Ok(None);
        };
        let end = state.total.min(offset.saturating_add(u64::from(limit)));
        let bytes = self.log_bytes(id, &name, offset, end).await?;
        Ok(Some((state, bytes)))
    }

    /// The attempt's name, and how far its log has come.
    async fn log_state(&self, id: BuildId, attempt: u32) -> Result<Option<(String, LogState)>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT a.name, b.state AS "state: Named<State>", coalesce(l.bytes, 0) AS "bytes!",
                coalesce(l.complete, false) AS "complete!",
                (SELECT max(number) FROM attempts WHERE build_id = $1) AS "latest!"
            FROM builds b JOIN attempts a ON a.build_id = b.id
            LEFT JOIN logs l ON l.build_id = a.build_id AND l.attempt = a.name
            WHERE b.id = $1 AND a.number = $2
            "#,
            id.0,
            column::<_, i32>(attempt)
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| {
            let state = LogState {
                total: length(row.bytes),
                complete: row.complete,
                build: row.state.0,
                latest: count(row.latest),
            };
            (row.name, state)
        }))
    }

    /// Where the last `lines` lines of an attempt's log begin, but at most `bytes` before its end. A line that has not
    /// ended counts. `None`: no such build or attempt.
    pub async fn log_tail(
        &self,
        id: BuildId,
        attempt: u32,
        lines: u32,
        bytes: u64,
    ) -> Result<Option<u64>, StoreError> {
        let Some((name, LogState { total, .. })) = self.log_state(id, attempt).await? else {
            return Ok(None);
        };
        if lines == 0 {
            return Ok(Some(total));
        }
        let least = total.saturating_sub(bytes);
        let (mut before, mut left) = (total, lines);
        while before > least {
            let from = self.chunks_before(id, &name, before).await?.max(least);
            let text = self.log_bytes(id, &name, from, before).await?;
            // The newline at the very end ends the last line and begins none.
            let searched = if before == total {
                text.len().saturating_sub(1)
            } else {
                text.len()
            };
            for at in memchr::memrchr_iter(b'\n', &text[..searched]) {
                left -= 1;
                if left == 0 {
                    return Ok(Some(from + at as u64 + 1));
                }
            }
            if text.is_empty() {
                break;
            }
            before = from;
        }
        Ok(Some(least))
    }

    /// Where the few chunks begin that lead up to a byte.
    async fn chunks_before(&self, id: BuildId, attempt: &str, before: u64) -> Result<u64, StoreError> {
        let first = sqlx::query_scalar!(
            "
            SELECT min(byte_offset) FROM (
                SELECT byte_offset FROM log_chunks
                WHERE build_id = $1 AND attempt = $2 AND byte_offset < $3
                ORDER BY byte_offset DESC LIMIT $4
            ) AS last
            ",
            id.0,
            attempt,
            column::<_, i64>(before),
            CHUNKS
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(first.map_or(0, length))
    }
}
