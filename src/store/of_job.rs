//! Target of a write: a build, and one of its Jobs.

use uuid::Uuid;

use crate::domain::{BuildId, Sighting};

/// Build, and the Job that a write refers to. An observation of a Job says nothing about a Job that was
/// created after its deletion, so a late write about the old Job must not change the build.
#[derive(Debug, Clone, Copy)]
pub struct OfJob<'a> {
    pub(super) build: BuildId,
    /// Uid of the Job; `None` for any Job.
    pub(super) job: Option<&'a str>,
}

impl<'a> OfJob<'a> {
    /// Refers to the observed Job, if the observation names one.
    pub fn seen(build: BuildId, sighting: &'a Sighting) -> Self {
        Self {
            build,
            job: Some(sighting.external_id.as_str()).filter(|job| !job.is_empty()),
        }
    }

    /// Refers to the recorded Job, if there is one.
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
    /// Refers to any Job of the build.
    fn from(build: BuildId) -> Self {
        Self { build, job: None }
    }
}
