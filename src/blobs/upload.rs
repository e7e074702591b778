//! Objects on their way into the storage.

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};

use super::BlobError;

/// Parts that are under way while the next one is received.
const PARTS_UNDER_WAY: usize = 2;

/// An object that is being written. Dropped before it is finished, it leaves nothing behind.
pub struct Upload {
    writer: Option<WriteMultipart>,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, part: usize) -> Self {
        Self {
            writer: Some(WriteMultipart::new_with_chunk_size(upload, part)),
        }
    }

    /// Adds bytes, as fast as the storage takes them.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if let Some(writer) = &mut self.writer {
            writer.wait_for_capacity(PARTS_UNDER_WAY).await?;
            // Copied on purpose: received pieces are small parts of large buffers, which would be kept alive.
            writer.write(&bytes);
        }
        Ok(())
    }

    /// Makes the object visible, whole.
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
        // A file is removed by its own writer; parts in a bucket stay, and cost money, until they are given up.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = writer.abort().await {
                    tracing::warn!(%error, "a broken upload could not be cleaned up");
                }
            });
        }
    }
}
