//! What a client is told of a limit that it reached.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use crate::domain::{
    ProjectName,
    quota::{QuotaExceeded, QuotaLimit},
};

/// A limit of a project, and how much of it is used.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaBody {
    /// Whose limit.
    project: ProjectName,
    /// Which limit.
    limit: QuotaLimit,
    /// Builds that it allows.
    max: u64,
    /// Builds that count against it.
    used: u64,
    /// When the first of them no longer counts; null where that depends on the queue.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    frees_at: Option<Timestamp>,
}

impl Problem {
    /// A project has as many builds as it may have.
    pub(super) fn quota(quota: QuotaExceeded) -> Self {
        let QuotaExceeded {
            project, max, used, ..
        } = &quota;
        let detail = match quota.limit {
            QuotaLimit::MaxQueued => {
                format!("project {project} has {used} builds in the queue, of {max} that it may have there")
            }
            QuotaLimit::MaxPerHour => {
                format!(
                    "project {project} has created {used} builds within an hour, of {max} that it may create"
                )
            }
        };
        let seconds = quota.retry_after.as_secs();
        Self::new(Code::QuotaExceeded)
            .detail(detail)
            .retry_after(seconds)
            .about_quota(QuotaBody {
                project: quota.project,
                limit: quota.limit,
                max: quota.max,
                used: quota.used,
                frees_at: quota.frees_at,
            })
    }
}
