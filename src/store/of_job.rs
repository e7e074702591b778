//! Which Job a write is about.

use uuid::Uuid;

use crate::domain::{BuildId, Sighting};

/// A build, and the Job that it is written about. What was seen of a Job says nothing of the one that was made after it
/// was deleted, however late whoever saw it comes to write that down.
#[derive(Debug, Clone, Copy)]
pub struct OfJob<'a> {
    pub(super) build: BuildId,
    /// `None`: whichever it is.
    pub(super) job: Option<&'a str>,
}

impl<'a> OfJob<'a> {
    /// The Job that was seen, where what was seen names one.
    pub fn seen(build: BuildId, sighting: &'a Sighting) -> Self {
        Self {
            build,
            job: Some(sighting.external_id.as_str()).filter(|job| !job.is_empty()),
        }
    }

    /// The Job that was recorded, if one was.
    pub fn recorded(build: BuildId, external_id: Option<&'a str>) -> Self {
        Self {
            build,
            job: external_id,
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.build.0
    }
}

impl From<BuildId> for OfJob<'_> {
    /// Whichever Job the build has.
    fn from(build: BuildId) -> Self {
        Self { build, job: None }
    }
}
