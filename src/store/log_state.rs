//! Reads of a log by clients that follow it: bytes from an offset on, and the state that shows if more may
//! come.

use super::{
    Store, StoreError,
    rows::{Named, column, count, length},
};
use crate::domain::{BuildId, State};

/// Number of tries to find a log that is moved during the read, which happens at most once.
const TRIES: usize = 3;

/// Length of a log, and the state that decides if it can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Number of bytes stored so far.
    pub total: u64,
    /// `true` if nothing more will be added.
    pub complete: bool,
    /// State of the build.
    pub build: State,
    /// Number of the build's latest attempt.
    pub latest: u32,
}

/// Range of a log, with its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogBytes {
    /// The bytes, from the database.
    Here(Vec<u8>),
    /// The range is in the archive.
    Archived(ArchivedStretch),
    /// The log was removed after its retention time.
    Removed,
}

/// Location of a range of a log in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedStretch {
    /// The attempt's name.
    pub attempt: String,
    /// Offsets at which the chunks end in the object.
    pub ends: Vec<u64>,
    /// Offset of the first byte of the range.
    pub from: u64,
    /// Offset of the byte after the range.
    pub to: u64,
}

/// Location of a log.
struct Place {
    attempt: String,
    archive_ends: Option<Vec<i64>>,
    removed: bool,
}

impl Store {
    /// Returns the state of an attempt's log (attempts are counted from 1), and its bytes from `offset` on,
    /// at most `limit` of them. Returns `None` if there is no such build or attempt.
    pub async fn log_from(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<(LogState, LogBytes)>, StoreError> {
        for _ in 0..TRIES {
            let Some((place, state)) = self.log_place(id, attempt).await? else {
                return Ok(None);
            };
            if place.removed {
                return Ok(Some((state, LogBytes::Removed)));
            }
            let to = state.total.min(offset.saturating_add(u64::from(limit)));
            if let Some(ends) = place.archive_ends {
                let stretch = ArchivedStretch {
                    attempt: place.attempt,
                    ends: ends.into_iter().map(length).collect(),
                    from: offset,
                    to,
                };
                return Ok(Some((state, LogBytes::Archived(stretch))));
            }
            let bytes = self.log_bytes(id, &place.attempt, offset, to).await?;
            // Otherwise the log was moved or removed after its row was read.
            if bytes.len() as u64 == to.saturating_sub(offset) {
                return Ok(Some((state, LogBytes::Here(bytes))));
            }
        }
        Err(StoreError::unavailable("the log is being moved"))
    }

    /// Returns the location and the state of an attempt's log.
    async fn log_place(&self, id: BuildId, attempt: u32) -> Result<Option<(Place, LogState)>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT a.name, b.state AS "state: Named<State>", coalesce(l.bytes, 0) AS "bytes!",
                coalesce(l.complete, a.log_removed) AS "complete!", l.archive_ends,
                a.log_removed OR l.removed_at IS NOT NULL AS "removed!",
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
            let place = Place {
                attempt: row.name,
                archive_ends: row.archive_ends,
                removed: row.removed,
            };
            (place, state)
        }))
    }
}
