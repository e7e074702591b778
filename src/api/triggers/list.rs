//! Lists of triggers.

use axum::{Json, extract::State};

use super::body::{TriggerBody, Triggers};
use crate::{
    api::{ApiState, caller::Caller, problem::Problem, query::Query},
    domain::{ProjectName, Scope, TriggerId},
};

/// List triggers, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/triggers",
    operation_id = "list_triggers",
    tag = "triggers",
    params(
        ("project" = Option<ProjectName>, Query, description = "Only triggers of this project"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Triggers on a page; 20 when absent"),
        ("cursor" = Option<TriggerId>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of triggers, without their secrets", body = Triggers))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<Triggers>, Problem> {
    let named = query.one::<ProjectName>("project")?;
    let before = query.one::<TriggerId>("cursor")?;
    let limit = u32::try_from(query.number("limit", 1, 100, 20)?).expect("the limit is at most 100");
    query.finish()?;
    let project = caller.project(Scope::TriggersRead, named)?;
    let mut triggers = state.store.triggers(project.as_ref(), before, limit + 1).await?;
    let more = triggers.len() > limit as usize;
    triggers.truncate(limit as usize);
    Ok(Json(Triggers {
        next_cursor: triggers.last().filter(|_| more).map(|last| last.id),
        triggers: triggers.into_iter().map(TriggerBody::from).collect(),
    }))
}
