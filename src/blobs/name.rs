//! What objects are called.

use std::fmt;

use object_store::path::Path;

use crate::domain::{BuildId, ContextId};

/// The name of an object: it follows from what is in it, so that nobody has to look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobName(Name);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Context(ContextId),
    Log(BuildId, String),
}

impl BlobName {
    /// An uploaded context.
    pub fn context(id: ContextId) -> Self {
        Self(Name::Context(id))
    }

    /// The log of an attempt.
    pub fn log(build: BuildId, attempt: &str) -> Self {
        Self(Name::Log(build, attempt.to_owned()))
    }

    /// Its path below a folder. Whatever an attempt is called, it stays below it.
    pub(super) fn within(&self, folder: &Path) -> Path {
        match &self.0 {
            Name::Context(id) => folder.clone().join("contexts").join(format!("{id}.tar.gz")),
            Name::Log(build, attempt) => folder
                .clone()
                .join("logs")
                .join(format!("{build}.{attempt}.zlib")),
        }
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within(&Path::default()).fmt(f)
    }
}
