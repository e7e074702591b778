//! Defines the names of objects.

use std::fmt;

use object_store::path::Path;

use crate::domain::{BuildId, ContextId};

/// Name of an object; it is derived from the ids of its content, so that no lookup is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobName(Name);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Context(ContextId),
    Log(BuildId, String),
}

impl BlobName {
    /// Returns the name of an uploaded context.
    pub fn context(id: ContextId) -> Self {
        Self(Name::Context(id))
    }

    /// Returns the name of an attempt's log.
    pub fn log(build: BuildId, attempt: &str) -> Self {
        Self(Name::Log(build, attempt.to_owned()))
    }

    /// Returns the path below a folder. An attempt's name cannot lead out of the folder.
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
