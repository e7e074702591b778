//! One trigger: read and removed.

use axum::{Json, extract::State};
use http::StatusCode;

use super::{body::TriggerBody, existing};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::{Code, Problem},
    },
    domain::{Scope, TriggerId},
};

/// Get a trigger.
#[utoipa::path(
    get,
    path = "/api/v1/triggers/{id}",
    operation_id = "get_trigger",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    responses((status = 200, description = "The trigger, without its secret", body = TriggerBody))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
) -> Result<Json<TriggerBody>, Problem> {
    let trigger = existing(&state, &caller, Scope::TriggersRead, id).await?;
    Ok(Json(trigger.into()))
}

/// Remove a trigger.
///
/// Its secret and its deliveries go with it; its builds stay.
#[utoipa::path(
    delete,
    path = "/api/v1/triggers/{id}",
    operation_id = "delete_trigger",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
) -> Result<StatusCode, Problem> {
    existing(&state, &caller, Scope::TriggersWrite, id).await?;
    if state.store.remove_trigger(id, &caller.actor()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(Code::NotFound))
    }
}
