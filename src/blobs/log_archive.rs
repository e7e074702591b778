//! Old logs as objects: compressed chunks one after the other, so that a stretch is read by one range request.
//!
//! Every chunk but the last holds [`CHUNK`] bytes of the log, and the database keeps where each one ends.

use bytes::Bytes;

use super::{BlobError, BlobName, Blobs, Upload};
use crate::domain::{
    BuildId,
    log_chunk::{CHUNK, pack, unpack},
};

/// An archived log could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The storage could not be used.
    #[error(transparent)]
    Storage(#[from] BlobError),
    /// There is no such object.
    #[error("{0} is not in the archive")]
    Missing(BlobName),
    /// The object is not what was put there.
    #[error("{0} in the archive is damaged")]
    Damaged(BlobName),
}

/// The archive of logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogArchive(Blobs);

/// A log on its way into the archive.
pub struct LogWriter {
    upload: Upload,
    waiting: Vec<u8>,
    written: u64,
    ends: Vec<u64>,
}

impl LogArchive {
    /// An archive in this storage.
    pub fn new(blobs: Blobs) -> Self {
        Self(blobs)
    }

    /// Begins to write the log of an attempt. Nothing is to be seen of it before [`LogWriter::finish`].
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

    /// The bytes of a log from `offset` up to `end`, whose chunks end at `ends`.
    ///
    /// # Errors
    /// When the object cannot be read, or is not the log's.
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

    /// Removes the log of an attempt. It need not be there.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn remove(&self, build: BuildId, attempt: &str) -> Result<(), BlobError> {
        self.0.remove(&BlobName::log(build, attempt)).await
    }
}

/// The chunk that holds a byte.
fn chunk_of(offset: u64) -> usize {
    position(offset / CHUNK as u64)
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// What is in these chunks, the first of which begins at `from` in the object; `None` if they are no chunks.
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

    /// Makes the log visible, whole; answers where its chunks end.
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
