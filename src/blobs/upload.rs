//! Writes objects to the storage.

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};

use super::BlobError;

/// Parts that may be in flight while the next one is received.
const PARTS_UNDER_WAY: usize = 2;

/// An object that is being written. If it is dropped before [`Upload::finish`], its parts are removed.
pub struct Upload {
    writer: Option<WriteMultipart>,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, part: usize) -> Self {
        Self {
            writer: Some(WriteMultipart::new_with_chunk_size(upload, part)),
        }
    }

    /// Adds bytes, and waits while too many parts are in flight.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if let Some(writer) = &mut self.writer {
            writer.wait_for_capacity(PARTS_UNDER_WAY).await?;
            // Copied on purpose: received pieces are small slices of large buffers, which they keep alive.
            writer.write(&bytes);
        }
        Ok(())
    }

    /// Completes the object and makes it visible.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn finish(mut self) -> Result<(), BlobError> {
        if let Some(writer) = self.writer.take() {
            writer.finish().await?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        // A file is removed by its own writer; parts in a bucket stay, and cost money, until the abort.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = writer.abort().await {
                    tracing::warn!(%error, "a broken upload could not be cleaned up");
                }
            });
        }
    }
}
