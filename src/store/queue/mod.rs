//! The queue as a whole, read from sums and from the heads of lanes, never by a scan.

mod place;
mod rank;
mod shares;

pub(super) use shares::Shares;

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    Store, StoreError, begin, dispatchers,
    rows::{Named, column, length},
};
use crate::domain::{ProjectName, quota::Quotas};

/// Reads everything from one snapshot, and makes the planner use the indexes, because statistics of a queue
/// are always out of date.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan";

/// Upper bound of projects in a view.
const PROJECTS: i64 = 1000;
/// Number of lanes read to find the oldest queued build: the lanes with the lowest floors contain it.
const LANES: i64 = 256;

/// The queue at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueView {
    /// Number of queued builds.
    pub queued: u64,
    /// Number of slots in use.
    pub running: u64,
    /// Total number of slots; unknown while no dispatcher is alive.
    pub slots: Option<u64>,
    /// Time for which the oldest queued build could have been started.
    pub oldest: Option<Duration>,
    /// Its projects, longest queues first.
    pub projects: Vec<ProjectQueue>,
    /// `true` if there are more projects than are shown.
    pub more_projects: bool,
}

/// A project's part of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectQueue {
    /// The project's name.
    pub project: ProjectName,
    /// Number of queued builds.
    pub queued: u64,
    /// Number of slots in use.
    pub running: u64,
    /// Number of slots that it may use; unknown while no dispatcher is alive, unless it has a limit of its
    /// own.
    pub slots: Option<u64>,
    /// Its weight in the fair share of slots.
    pub weight: u64,
    /// Upper bound of its queued builds, if there is one.
    pub max_queued: Option<u64>,
    /// Upper bound of builds that it may create within an hour, if there is one.
    pub max_per_hour: Option<u64>,
    /// Number of builds that it created within the last hour, counted up to that bound; unknown without a
    /// bound.
    pub last_hour: Option<u64>,
    /// Time for which its oldest queued build could have been started.
    pub oldest: Option<Duration>,
}

impl Store {
    /// Returns the queue as it is now: all projects that have queued builds or hold slots, or only the named
    /// one.
    pub async fn queue(&self, project: Option<&ProjectName>) -> Result<QueueView, StoreError> {
        let mut db = begin::begin_with(&self.pool, BEGIN).await?;
        let service = dispatchers::service(&mut *db).await?;
        let per_project = service.map(|service| service.per_project);
        let mut projects = projects(&mut db, project, per_project, self.quotas).await?;
        let (queued, running, oldest) = sums(&mut db).await?;
        db.commit().await?;
        let most = usize::try_from(PROJECTS).unwrap_or(usize::MAX);
        let more_projects = projects.len() > most;
        projects.truncate(most);
        Ok(QueueView {
            queued,
            running,
            slots: service.map(|service| service.slots),
            oldest,
            projects,
            more_projects,
        })
    }
}

async fn projects(
    db: &mut PgConnection,
    project: Option<&ProjectName>,
    per_project: Option<u64>,
    quotas: Quotas,
) -> Result<Vec<ProjectQueue>, sqlx::Error> {
    let rows = sqlx::query_file!(
        "src/store/queue/projects.sql",
        project.map(ProjectName::as_str),
        PROJECTS + 1,
        quotas.max_queued.map(column::<_, i32>),
        quotas.max_per_hour.map(column::<_, i32>)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectQueue {
            project: row.name.0,
            queued: length(row.queued),
            running: length(row.held),
            slots: row.max_running.map(|limit| length(limit.into())).or(per_project),
            weight: length(row.weight.into()),
            max_queued: row.max_queued.map(|limit| length(limit.into())),
            max_per_hour: row.max_per_hour.map(|limit| length(limit.into())),
            last_hour: row.last_hour.map(length),
            oldest: row.oldest.map(age),
        })
        .collect())
}

/// Returns the number of queued builds, the slots in use, and the age of the oldest queued build.
async fn sums(db: &mut PgConnection) -> Result<(u64, u64, Option<Duration>), sqlx::Error> {
    let row = sqlx::query_file!("src/store/queue/sums.sql", LANES)
        .fetch_one(db)
        .await?;
    Ok((length(row.queued), length(row.held), row.oldest.map(age)))
}

/// Converts the seconds for which a build could have been started, by the database's clock. They are negative
/// for a deferred build, whose age is zero.
fn age(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
