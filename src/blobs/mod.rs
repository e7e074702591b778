//! Stores large objects outside the database: uploaded contexts and old logs, in a local folder or a bucket.

mod log_archive;
mod name;
mod upload;

use std::{
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, path::Path,
};
use url::Url;

pub use self::{
    log_archive::{ArchiveError, LogArchive, LogWriter},
    name::BlobName,
    upload::Upload,
};

/// Size of a part in a bucket; buckets accept no smaller ones.
const BUCKET_PART: usize = 5 << 20;
/// Size of a part in a folder; a local file can be written in small pieces.
const FILE_PART: usize = 256 << 10;

/// Error of the object storage.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The setting names no storage; the text is the reason.
    #[error("{0}")]
    Setting(String),
    /// The storage does not answer, or refuses the request.
    #[error("the object storage failed")]
    Store(#[from] object_store::Error),
    /// The rest of an incomplete upload cannot be removed.
    #[error("the folder cannot be written")]
    Folder(#[from] std::io::Error),
}

/// One object storage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// Path inside the bucket.
    prefix: Path,
    /// Folder of this machine, if the storage is one.
    folder: Option<Arc<PathBuf>>,
    part: usize,
}

/// An object that is open for reading.
pub struct Blob {
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub bytes: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Blobs {
    /// Opens the storage at a local folder (created if it is missing), or at `file://`, `s3://`, `gs://` or
    /// `az://`; credentials come from the cloud's usual variables.
    ///
    /// # Errors
    /// A sentence, if there is no such storage.
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
                folder: None,
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
                "nothing can be kept at {other}://: name a folder, or use file://, s3://, gs:// or az://"
            ))),
        }
    }

    fn folder(path: &FilePath) -> Result<Self, BlobError> {
        std::fs::create_dir_all(path).map_err(|error| {
            BlobError::Setting(format!("cannot make the folder {}: {error}", path.display()))
        })?;
        // Acknowledged data must survive a power failure.
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            folder: Some(Arc::new(path.to_owned())),
            part: FILE_PART,
        })
    }

    /// Begins to write an object. It is not visible before [`Upload::finish`].
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn begin(&self, name: &BlobName) -> Result<Upload, BlobError> {
        let upload = self.store.put_multipart(&name.within(&self.prefix)).await?;
        Ok(Upload::new(upload, self.part))
    }

    /// Opens an object for reading; `None` if it does not exist.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn open(&self, name: &BlobName) -> Result<Option<Blob>, BlobError> {
        match self.store.get(&name.within(&self.prefix)).await {
            Ok(found) => Ok(Some(Blob {
                size: found.meta.size,
                bytes: found.into_stream(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a part of an object; `None` if it does not exist.
    ///
    /// # Errors
    /// When the storage cannot be used, or the object has no such part.
    pub async fn read(&self, name: &BlobName, range: Range<u64>) -> Result<Option<Bytes>, BlobError> {
        match self.store.get_range(&name.within(&self.prefix), range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an object if it exists and, in a local folder, the rest of an upload after a crash. In a
    /// bucket, a lifecycle rule must remove the parts.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        let path = name.within(&self.prefix);
        match self.store.delete(&path).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        // Name of an object's first upload until it is finished; objects here are uploaded once.
        match tokio::fs::remove_file(folder.join(format!("{path}#1"))).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
