//! Logs, wherever they are kept.

use super::problem::{Code, Problem};
use crate::{
    blobs::{ArchiveError, LogArchive},
    domain::BuildId,
    store::{LogSlice, Store, StoreError, StoredLog},
};

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

    pub(super) fn with_archive(self, archive: Option<LogArchive>) -> Self {
        Self { archive, ..self }
    }

    /// A stretch of an attempt's log (attempts counted from 1). `None`: no such build or attempt.
    pub(super) async fn slice(
        &self,
        id: BuildId,
        attempt: u32,
        offset: u64,
        limit: u32,
    ) -> Result<Option<LogSlice>, LogError> {
        match self.store.log(id, attempt, offset, limit).await? {
            None => Ok(None),
            Some(StoredLog::Here(slice)) => Ok(Some(slice)),
            Some(StoredLog::Removed) => Err(LogError::Removed),
            Some(StoredLog::Archived {
                mut slice,
                attempt,
                ends,
                end,
            }) => {
                let archive = self.archive.as_ref().ok_or(LogError::NoArchive)?;
                slice.bytes = archive.read((id, &attempt), &ends, slice.offset, end).await?;
                Ok(Some(slice))
            }
        }
    }
}
