//! Logs, wherever they are kept.

use super::problem::{Code, Problem};
use crate::{
    blobs::{ArchiveError, LogArchive},
    domain::BuildId,
    store::{LogBytes, LogState, Store, StoreError},
};

/// Bytes that are read at once when lines are counted from the end.
const PIECE: u32 = 256 * 1024;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It is in an archive that the settings do not name.
    #[error("the log is in an archive, and --log-archive names none")]
    NoArchive,
    /// Its time was over.
    #[error("the log was removed")]
    Removed,
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => error.into(),
            LogError::Archive(error) => error.into(),
            LogError::NoArchive => Self::new(Code::StorageUnavailable).cause(error),
            LogError::Removed => Self::new(Code::LogRemoved)
                .detail("logs are kept for some time only; what is known of the build is still there"),
        }
    }
}

/// Reads logs from the database and from the archive. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogReader {
    store: Store,
    archive: Option<LogArchive>,
}

impl LogReader {
    pub(super) fn new(store: Store) -> Self {
        Self { store, archive: None }
    }

    /// What is in the database.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn with_archive(self, archive: Option<LogArchive>) -> Self {
        Self { archive, ..self }
    }

    /// How far an attempt's log has come (attempts counted from 1), and its bytes from `offset` on, at most `limit` of
    /// them. `None`: no such build or attempt.
    pub(super) async fn from(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<(LogState, Vec<u8>)>, LogError> {
        let Some((state, found)) = self.store.log_from(id, attempt, offset, limit).await? else {
            return Ok(None);
        };
        let bytes = match found {
            LogBytes::Here(bytes) => bytes,
            LogBytes::Archived(stretch) => {
                let archive = self.archive.as_ref().ok_or(LogError::NoArchive)?;
                let log = (id, stretch.attempt.as_str());
                archive.read(log, &stretch.ends, stretch.from, stretch.to).await?
            }
            LogBytes::Removed => return Err(LogError::Removed),
        };
        Ok(Some((state, bytes)))
    }

    /// Where the last `lines` lines of an attempt's log begin, but at most `bytes` before its end. A line that has not
    /// ended counts. `None`: no such build or attempt.
    pub(super) async fn tail(
        &self,
        id: BuildId,
        attempt: u32,
        lines: u32,
        bytes: u64,
    ) -> Result<Option<u64>, LogError> {
        let Some((LogState { total, .. }, _)) = self.from(id, attempt, 0, 0).await? else {
            return Ok(None);
        };
        if lines == 0 {
            return Ok(Some(total));
        }
        let least = total.saturating_sub(bytes);
        let (mut before, mut left) = (total, lines);
        while before > least {
            let from = before.saturating_sub(u64::from(PIECE)).max(least);
            let piece = u32::try_from(before - from).unwrap_or(PIECE);
            let Some((_, text)) = self.from(id, attempt, from, piece).await? else {
                return Ok(None);
            };
            // The newline at the very end ends the last line and begins none.
            let searched = text.len() - usize::from(before == total);
            for at in memchr::memrchr_iter(b'\n', &text[..searched]) {
                left -= 1;
                if left == 0 {
                    return Ok(Some(from + at as u64 + 1));
                }
            }
            before = from;
        }
        Ok(Some(least))
    }
}
