//! Moves complete logs into the archive, one after the other, piece by piece.

use std::{error::Error, time::Instant};

use super::{Retention, SweepError, sweep::rest};
use crate::{
    blobs::{BlobError, LogArchive},
    store::{LogKey, StoreError},
};

/// Bytes of a log that are in memory at once.
const PIECE: u64 = 1 << 20;

/// Reason why a log was not moved.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

impl Retention {
    /// Moves the logs that are old enough. Returns their number. A log that cannot be moved does not stop the
    /// others, unless the storage fails or the database is unavailable.
    pub(super) async fn fill_archive(&self) -> Result<u64, SweepError> {
        let Some(archive) = &self.archive else {
            return Ok(0);
        };
        let mut moved = 0;
        let mut next = Some(LogKey::first());
        while let Some(after) = next {
            let begun = Instant::now();
            let (due, last) = self
                .store
                .unarchived_logs(self.options.archive_after, &after)
                .await?;
            next = last;
            for log in due {
                let begun = Instant::now();
                match self.archive_log(archive, &log).await {
                    Ok(done) => moved += u64::from(done),
                    Err(MoveError::Blobs(error)) => return Err(error.into()),
                    Err(MoveError::Store(StoreError::Unavailable(error))) => {
                        return Err(StoreError::Unavailable(error).into());
                    }
                    Err(MoveError::Store(error)) => tracing::error!(
                        build.id = %log.build, attempt = log.attempt, error = &error as &dyn Error,
                        "a log cannot be read, and stays where it is"
                    ),
                }
                rest(begun).await;
            }
            rest(begun).await;
        }
        Ok(moved)
    }

    /// Moves a log. Returns true if it was moved. The object is written first, and then the record of it: in
    /// between the log is in both places.
    async fn archive_log(&self, archive: &LogArchive, log: &LogKey) -> Result<bool, MoveError> {
        let Some(bytes) = self.store.begin_archive(log).await? else {
            return Ok(false);
        };
        let mut ends = Vec::new();
        if bytes > 0 {
            let mut writer = archive.begin(log.build, &log.attempt).await?;
            let mut at = 0;
            while at < bytes {
                let end = bytes.min(at + PIECE);
                writer.write(&self.store.log_piece(log, at, end).await?).await?;
                at = end;
            }
            ends = writer.finish().await?;
        }
        Ok(self.store.end_archive(log, bytes, &ends).await?)
    }
}
