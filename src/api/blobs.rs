//! Where the bytes of uploaded contexts are kept: a local folder, or a bucket.

use std::{path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, path::Path,
};
use url::Url;

use crate::domain::ContextId;

/// Buckets want parts of at least 5 MiB.
const BUCKET_PART: usize = 5 << 20;
/// A local file can be written in small pieces.
const FILE_PART: usize = 256 << 10;
/// Parts that are under way while the next one is received.
const PARTS_UNDER_WAY: usize = 2;

/// The storage could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The setting does not say where the storage is: a sentence.
    #[error("{0}")]
    Setting(String),
    /// It does not answer, or refuses.
    #[error("the storage of contexts failed")]
    Store(#[from] object_store::Error),
}

/// The storage of uploaded contexts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The folder inside the bucket.
    prefix: Path,
    part: usize,
}

/// A context that is being read.
pub struct Blob {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub bytes: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Blobs {
    /// The storage at a local folder (made if it is missing), or at `file://`, `s3://`, `gs://` or `az://`; credentials
    /// come from the cloud's usual variables.
    ///
    /// # Errors
    /// A sentence, when there is no such storage.
    pub fn from_url(text: &str) -> Result<Self, BlobError> {
        let Ok(url) = Url::parse(text) else {
            return Self::folder(FilePath::new(text));
        };
        let bucket = |store: Arc<dyn ObjectStore>| -> Result<Self, BlobError> {
            let prefix = Path::from_url_path(url.path())
                .map_err(|error| BlobError::Setting(format!("{url} names no folder: {error}")))?;
            Ok(Self {
                store,
                prefix,
                part: BUCKET_PART,
            })
        };
        match url.scheme() {
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| BlobError::Setting(format!("{url} names no folder of this machine")))?;
                Self::folder(&path)
            }
            "s3" => bucket(Arc::new(
                AmazonS3Builder::from_env().with_url(url.as_str()).build()?,
            )),
            "gs" => bucket(Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_url(url.as_str())
                    .build()?,
            )),
            "az" => bucket(Arc::new(
                MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?,
            )),
            other => Err(BlobError::Setting(format!(
                "contexts cannot be kept at {other}://: name a folder, or use file://, s3://, gs:// or az://"
            ))),
        }
    }

    fn folder(path: &FilePath) -> Result<Self, BlobError> {
        std::fs::create_dir_all(path).map_err(|error| {
            BlobError::Setting(format!("cannot make the folder {}: {error}", path.display()))
        })?;
        // A context that was answered for must outlive a power cut.
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            part: FILE_PART,
        })
    }

    fn path(&self, id: ContextId) -> Path {
        self.prefix.clone().join("contexts").join(format!("{id}.tar.gz"))
    }

    /// Begins to write a context. Nothing is to be seen of it before [`Upload::finish`].
    pub(super) async fn begin(&self, id: ContextId) -> Result<Upload, BlobError> {
        let upload = self.store.put_multipart(&self.path(id)).await?;
        Ok(Upload {
            writer: Some(WriteMultipart::new_with_chunk_size(upload, self.part)),
        })
    }

    /// Opens a context for reading. `None`: it is not there.
    pub(super) async fn open(&self, id: ContextId) -> Result<Option<Blob>, BlobError> {
        match self.store.get(&self.path(id)).await {
            Ok(found) => Ok(Some(Blob {
                size: found.meta.size,
                bytes: found.into_stream(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a context.
    pub(super) async fn remove(&self, id: ContextId) -> Result<(), BlobError> {
        match self.store.delete(&self.path(id)).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A context that is being written. Dropped before it is finished, it leaves nothing behind.
pub(super) struct Upload {
    writer: Option<WriteMultipart>,
}

impl Upload {
    /// Adds bytes, as fast as the storage takes them.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if let Some(writer) = &mut self.writer {
            writer.wait_for_capacity(PARTS_UNDER_WAY).await?;
            // Copied on purpose: received pieces are small parts of large buffers, which would be kept alive.
            writer.write(&bytes);
        }
        Ok(())
    }

    /// Makes the context visible, whole.
    pub(super) async fn finish(mut self) -> Result<(), BlobError> {
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

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn files(folder: &FilePath) -> Vec<String> {
        let contexts = folder.join("contexts");
        let entries = std::fs::read_dir(contexts).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_context_is_read_as_it_was_written_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::from_url(folder.path().to_str().unwrap()).unwrap();
        let id = ContextId::generate();
        let bytes = Bytes::from(vec![7; 3 * FILE_PART + 1]);
        let mut upload = blobs.begin(id).await.unwrap();
        for piece in bytes.chunks(100_000) {
            upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert!(
            blobs.open(id).await.unwrap().is_none(),
            "nothing is seen before the end"
        );
        upload.finish().await.unwrap();
        let blob = blobs.open(id).await.unwrap().expect("it is there");
        assert_eq!(blob.size, bytes.len() as u64);
        let read: Vec<Bytes> = blob.bytes.try_collect().await.unwrap();
        assert_eq!(read.concat(), bytes);
        blobs.remove(id).await.unwrap();
        blobs.remove(id).await.unwrap();
        assert!(blobs.open(id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dropped_upload_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(folder.path()).unwrap();
        let blobs = Blobs::from_url(url.as_str()).unwrap();
        let mut upload = blobs.begin(ContextId::generate()).await.unwrap();
        upload.write(Bytes::from(vec![7; 2 * FILE_PART])).await.unwrap();
        assert_eq!(files(folder.path()).len(), 1, "the piece is on the disk");
        drop(upload);
        tokio::time::timeout(std::time::Duration::from_secs(10), async {
            while !files(folder.path()).is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the file is removed");
    }

    #[test]
    fn what_is_no_storage_is_refused_by_name() {
        for bad in ["ftp://host/x", "http://host/x"] {
            let error = Blobs::from_url(bad).expect_err(bad).to_string();
            assert!(error.contains("cannot be kept at"), "{error}");
        }
    }
}
