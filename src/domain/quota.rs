//! Quotas: how many builds a project may ask for.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::ProjectName;

/// Limits of a project, or of those that have none of their own. What is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Builds that may be queued at once.
    pub max_queued: Option<u32>,
    /// Builds that may be created within any hour.
    pub max_per_hour: Option<u32>,
}

impl Quotas {
    /// Whether anything is limited.
    pub const fn any(&self) -> bool {
        self.max_queued.is_some() || self.max_per_hour.is_some()
    }
}

/// Which limit it is. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaLimit {
    /// Builds that are queued at once.
    MaxQueued,
    /// Builds that are created within an hour.
    MaxPerHour,
}

/// Why a build was not accepted: its project has as many as it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// Whose limit.
    pub project: ProjectName,
    /// Which limit.
    pub limit: QuotaLimit,
    /// How many builds it allows.
    pub max: u64,
    /// How many count against it.
    pub used: u64,
    /// When the first of them no longer counts, where that can be told: a queue moves when builds end.
    pub frees_at: Option<Timestamp>,
    /// When another try makes sense, as far as can be said.
    pub retry_after: Duration,
}
