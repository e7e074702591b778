//! Quotas: upper bounds of the builds that a project may request.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::ProjectName;

/// Limits of one project, or of all projects without their own. An absent limit means unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Builds that may be queued at once.
    pub max_queued: Option<u32>,
    /// Builds that may be created within any hour.
    pub max_per_hour: Option<u32>,
}

impl Quotas {
    /// Returns true if at least one limit is set.
    pub const fn any(&self) -> bool {
        self.max_queued.is_some() || self.max_per_hour.is_some()
    }
}

/// Kind of limit. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaLimit {
    /// Builds that are queued at once.
    MaxQueued,
    /// Builds that are created within an hour.
    MaxPerHour,
}

/// Refusal of a build because its project has reached a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Project that has reached the limit.
    pub project: ProjectName,
    /// Kind of limit.
    pub limit: QuotaLimit,
    /// Number of builds that the limit allows.
    pub max: u64,
    /// Number of builds that count against the limit.
    pub used: u64,
    /// Time at which the first of them no longer counts; `None` if it cannot be predicted, because a queue
    /// moves when builds end.
    pub frees_at: Option<Timestamp>,
    /// Estimated delay after which another try makes sense.
    pub retry_after: Duration,
}
