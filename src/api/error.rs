//! What the store's errors mean to a client.

use super::problem::{Code, Problem};
use crate::{
    blobs::{ArchiveError, BlobError},
    store::{CreateError, DeliverError, StoreError},
};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(_) => Code::DatabaseUnavailable,
            StoreError::Query(_) => Code::Internal,
        };
        Self::new(code).cause(error)
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::KeyReused => Self::new(Code::IdempotencyKeyReused)
                .detail("the key in Idempotency-Key came before, with another request"),
            CreateError::Overloaded => Self::new(Code::Overloaded)
                .detail("too many requests wait to be stored: nothing was stored of this one"),
            CreateError::NoSuchContext => {
                Self::field("source.upload.context_id", "names no context of this project")
            }
            CreateError::QuotaExceeded(quota) => Self::quota(*quota),
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<DeliverError> for Problem {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::QuotaExceeded(quota) => CreateError::QuotaExceeded(quota).into(),
            DeliverError::Store(error) => error.into(),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        Self::new(Code::StorageUnavailable).cause(error)
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        let code = match error {
            ArchiveError::Storage(_) => Code::StorageUnavailable,
            ArchiveError::Missing(_) | ArchiveError::Damaged(_) => Code::Internal,
        };
        Self::new(code).cause(error)
    }
}
