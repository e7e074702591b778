//! Stores old logs as objects of compressed chunks, so that one range request reads a part of a log.
//!
//! Every chunk but the last holds [`CHUNK`] bytes of the log, and the database stores the end of each.

use bytes::Bytes;

use super::{BlobError, BlobName, Blobs, Upload};
use crate::domain::{
    BuildId,
    log_chunk::{CHUNK, pack, unpack},
};

/// Error of reading an archived log.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] BlobError),
    /// The object does not exist.
    #[error("{0} is not in the archive")]
    Missing(BlobName),
    /// The content of the object is not that of the log.
    #[error("{0} in the archive is damaged")]
    Damaged(BlobName),
}

/// Archive of logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogArchive(Blobs);

/// Writer of one log.
pub struct LogWriter {
    upload: Upload,
    waiting: Vec<u8>,
    written: u64,
    ends: Vec<u64>,
}

impl LogArchive {
    /// Creates an archive in this storage.
    pub fn new(blobs: Blobs) -> Self {
        Self(blobs)
    }

    /// Begins to write the log of an attempt. It is not visible before [`LogWriter::finish`].
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn begin(&self, build: BuildId, attempt: &str) -> Result<LogWriter, BlobError> {
        let upload = self.0.begin(&BlobName::log(build, attempt)).await?;
        Ok(LogWriter {
            upload,
            waiting: Vec::with_capacity(CHUNK),
            written: 0,
            ends: Vec::new(),
        })
    }

    /// Reads the bytes of a log from `offset` up to `end`; its chunks end at `ends`.
    ///
    /// # Errors
    /// When the object cannot be read, or is damaged.
    pub async fn read(
        &self,
        (build, attempt): (BuildId, &str),
        ends: &[u64],
        offset: u64,
        end: u64,
    ) -> Result<Vec<u8>, ArchiveError> {
        if offset >= end {
            return Ok(Vec::new());
        }
        let name = BlobName::log(build, attempt);
        let (first, last) = (chunk_of(offset), chunk_of(end - 1));
        let Some(&to) = ends.get(last) else {
            return Err(ArchiveError::Damaged(name));
        };
        let from = first.checked_sub(1).map_or(0, |before| ends[before]);
        let Some(packed) = self.0.read(&name, from..to).await? else {
            return Err(ArchiveError::Missing(name));
        };
        let bytes = unpacked(&packed, from, &ends[first..=last]);
        let start = first as u64 * CHUNK as u64;
        bytes
            .as_deref()
            .and_then(|bytes| bytes.get(position(offset - start)..position(end - start)))
            .map(<[u8]>::to_vec)
            .ok_or(ArchiveError::Damaged(name))
    }

    /// Removes the log of an attempt if it exists.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn remove(&self, build: BuildId, attempt: &str) -> Result<(), BlobError> {
        self.0.remove(&BlobName::log(build, attempt)).await
    }
}

/// Returns the number of the chunk that contains a byte.
fn chunk_of(offset: u64) -> usize {
    position(offset / CHUNK as u64)
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Unpacks chunks, the first of which begins at `from` in the object; `None` if they are damaged.
fn unpacked(packed: &[u8], from: u64, ends: &[u64]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ends.len() * CHUNK);
    let mut start = 0;
    for end in ends {
        let end = position(end.checked_sub(from)?);
        bytes.extend(unpack(packed.get(start..end)?, CHUNK).ok()?);
        start = end;
    }
    Some(bytes)
}

impl LogWriter {
    /// Adds the next bytes of the log.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend_from_slice(taken);
            bytes = rest;
            if self.waiting.len() == CHUNK {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    /// Completes the log, makes it visible, and returns the ends of its chunks.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn finish(mut self) -> Result<Vec<u64>, BlobError> {
        if !self.waiting.is_empty() {
            self.write_chunk().await?;
        }
        self.upload.finish().await?;
        Ok(self.ends)
    }

    async fn write_chunk(&mut self) -> Result<(), BlobError> {
        let chunk = pack(&self.waiting);
        self.waiting.clear();
        self.written += chunk.len() as u64;
        self.ends.push(self.written);
        self.upload.write(Bytes::from(chunk)).await
    }
}
