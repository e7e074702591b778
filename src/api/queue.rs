//! `/api/v1/queue`: the queue as a whole.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, caller::Caller, problem::Problem, query::Query};
use crate::{
    domain::{ProjectName, Scope},
    store::{ProjectQueue, QueueView},
};

/// The queue at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
struct QueueBody {
    /// Queued builds.
    queued: u64,
    /// Builds that hold a slot: those that are being launched, run or are being cancelled.
    running: u64,
    /// Slots in all; null while no dispatcher is running.
    #[schema(required = true)]
    slots: Option<u64>,
    /// How long the oldest queued build has been ready to be started; null for an empty queue.
    #[schema(required = true)]
    oldest_queued_seconds: Option<u64>,
    /// Projects with queued builds or slots in use, those with the longest queues first; 1000 at most.
    projects: Vec<ProjectQueueBody>,
    /// Whether there are more projects than that.
    more_projects: bool,
}

/// A project's part of the queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProjectQueue)]
struct ProjectQueueBody {
    /// Which project.
    project: ProjectName,
    /// Its queued builds.
    queued: u64,
    /// Its builds that hold a slot.
    running: u64,
    /// Slots that it may hold at once; null where that is the default, and no dispatcher is running to tell it.
    #[schema(required = true)]
    slots: Option<u64>,
    /// Free slots go to the project that holds the least for its weight.
    weight: u64,
    /// Builds that it may have queued; beyond, creations are answered 429. Null: as many as come.
    #[schema(required = true)]
    max_queued: Option<u64>,
    /// Builds that it may create within any hour, likewise.
    #[schema(required = true)]
    max_per_hour: Option<u64>,
    /// Builds that it has created within the last hour, counted up to `max_per_hour`; null where that is null.
    #[schema(required = true)]
    last_hour: Option<u64>,
    /// How long its oldest queued build has been ready to be started.
    #[schema(required = true)]
    oldest_queued_seconds: Option<u64>,
}

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(queue))
}

/// Show the queue.
///
/// To a token of a project, its project's part of it: the sums are its own.
#[utoipa::path(
    get,
    path = "/api/v1/queue",
    operation_id = "get_queue",
    tag = "builds",
    params(("project" = Option<ProjectName>, Query, description = "Show only this one of the projects")),
    responses((status = 200, description = "The queue", body = QueueBody))
)]
async fn queue(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<QueueBody>, Problem> {
    let named = query.one::<ProjectName>("project")?;
    query.finish()?;
    let project = caller.project(Scope::BuildsRead, named)?;
    let mut view = state.store.queue(project.as_ref()).await?;
    if caller.only_project().is_some() {
        own_part(&mut view);
    }
    Ok(Json(view.into()))
}

/// How much others build is not told to those who see one project only.
fn own_part(view: &mut QueueView) {
    let own = view.projects.first();
    view.queued = own.map_or(0, |own| own.queued);
    view.running = own.map_or(0, |own| own.running);
    view.oldest = own.and_then(|own| own.oldest);
}

impl From<QueueView> for QueueBody {
    fn from(view: QueueView) -> Self {
        Self {
            queued: view.queued,
            running: view.running,
            slots: view.slots,
            oldest_queued_seconds: view.oldest.map(|age| age.as_secs()),
            projects: view.projects.into_iter().map(ProjectQueueBody::from).collect(),
            more_projects: view.more_projects,
        }
    }
}

impl From<ProjectQueue> for ProjectQueueBody {
    fn from(queue: ProjectQueue) -> Self {
        Self {
            project: queue.project,
            queued: queue.queued,
            running: queue.running,
            slots: queue.slots,
            weight: queue.weight,
            max_queued: queue.max_queued,
            max_per_hour: queue.max_per_hour,
            last_hour: queue.last_hour,
            oldest_queued_seconds: queue.oldest.map(|age| age.as_secs()),
        }
    }
}
