//! Endpoints, one by one and page by page.

use axum::{Json, extract::State};

use super::{
    body::{EndpointBody, Endpoints},
    endpoint,
};
use crate::{
    api::{ApiState, caller::Caller, extract::PathId, problem::Problem, query::Query},
    domain::{EndpointId, ProjectName, Scope},
};

/// List endpoints, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints",
    operation_id = "list_endpoints",
    tag = "endpoints",
    params(
        ("project" = Option<ProjectName>, Query, description = "Whose; the caller's own when absent, or `default`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Endpoints on a page; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of endpoints, without their secrets", body = Endpoints))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<Endpoints>, Problem> {
    let project = query.one::<ProjectName>("project")?;
    let limit = query.number("limit", 1, 100, 20)?;
    let after = query.one::<EndpointId>("cursor")?;
    query.finish()?;
    let project = project
        .or_else(|| caller.only_project().cloned())
        .unwrap_or_default();
    caller.may(Scope::EndpointsWrite, &project)?;
    let limit = u32::try_from(limit).expect("the limit is at most 100");
    // One more than shown tells whether there is another page.
    let mut endpoints = state.store.endpoints(&project, after, limit + 1).await?;
    let more = endpoints.len() > limit as usize;
    endpoints.truncate(limit as usize);
    Ok(Json(Endpoints {
        next_cursor: endpoints.last().filter(|_| more).map(|last| last.id),
        endpoints: endpoints.into_iter().map(EndpointBody::from).collect(),
    }))
}

/// Show an endpoint.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints/{id}",
    operation_id = "get_endpoint",
    tag = "endpoints",
    params(("id" = EndpointId, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint, without its secret", body = EndpointBody))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<Json<EndpointBody>, Problem> {
    Ok(Json(endpoint(&state, &caller, id).await?.into()))
}
