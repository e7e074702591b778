//! A log as those read it who follow it: from a byte on, with all that tells whether more may come.

use super::{
    Store, StoreError,
    rows::{Named, column, count, length},
};
use crate::domain::{BuildId, State};

/// How often a log is looked for that moves meanwhile, which it does once.
const TRIES: usize = 3;

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

/// A stretch of a log, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogBytes {
    /// It was in the database.
    Here(Vec<u8>),
    /// It is in the archive.
    Archived(ArchivedStretch),
    /// It is nowhere: its time was over.
    Removed,
}

/// What finds a stretch of a log in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedStretch {
    /// The attempt's name.
    pub attempt: String,
    /// Where the object's chunks end.
    pub ends: Vec<u64>,
    /// The first byte of the stretch.
    pub from: u64,
    /// The byte after it.
    pub to: u64,
}

/// Where a log is.
struct Place {
    attempt: String,
    archive_ends: Option<Vec<i64>>,
    removed: bool,
}

impl Store {
    /// How far an attempt's log has come (attempts counted from 1), and its bytes from `offset` on, at most `limit` of
    /// them. `None`: no such build or attempt.
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
            // Else it was moved or removed since its row was read.
            if bytes.len() as u64 == to.saturating_sub(offset) {
                return Ok(Some((state, LogBytes::Here(bytes))));
            }
        }
        Err(StoreError::unavailable("the log is being moved"))
    }

    /// Where an attempt's log is, and how far it has come.
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
