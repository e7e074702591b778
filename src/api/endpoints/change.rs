//! Endpoints: made, changed, removed.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use super::{
    DONE,
    body::{self, EndpointBody, EndpointChange, NewEndpoint, SecretRotation},
    endpoint, sealed,
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, PathId},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{EndpointId, Scope},
    store::{self, EndpointSettings},
};

/// Endpoints of one project.
const MOST: u64 = 100;
/// How long the secret before the present one counts, unless the request says otherwise, in seconds.
const OVERLAP: u32 = 86_400;
/// The longest that it may count.
const LONGEST_OVERLAP: u32 = 30 * 86_400;

/// Create an endpoint.
///
/// From now on it is told of its project's builds, by Standard Webhooks 1.0.0. The answer shows the secret, this once.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints",
    operation_id = "create_endpoint",
    tag = "endpoints",
    request_body = NewEndpoint,
    responses(
        (status = 201, description = "It is told of builds; `secret` is shown this once", body = EndpointBody,
            headers(("Location" = String, description = "The endpoint's address"))),
        (status = 501, description = "The operator has set no key for secrets (`secret_key_missing`)", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewEndpoint>,
) -> Result<Response, Problem> {
    caller.may(Scope::EndpointsWrite, &new.project)?;
    let settings = EndpointSettings {
        url: new.url,
        description: new.description,
        events: new.events.unwrap_or_else(|| new.format.types().to_vec()),
        format: new.format,
        enabled: new.enabled,
    };
    let settings = body::checked(settings, &state.reachable)?;
    let secret = body::secret(new.secret)?;
    let id = EndpointId::generate();
    let sealed = sealed(&state, id, &secret)?;
    if state.store.count_endpoints(&new.project).await? >= MOST {
        return Err(Problem::field(
            "project",
            format_args!("has {MOST} endpoints already"),
        ));
    }
    let new = store::NewEndpoint {
        id,
        project: new.project,
        secret: sealed,
        settings,
    };
    if !state.store.create_endpoint(&new, &caller.actor()).await? {
        return Err(Problem::field("project", "has been removed"));
    }
    let made = endpoint(&state, &caller, id).await?;
    let address = [(header::LOCATION, format!("/api/v1/endpoints/{id}"))];
    let body = Json(EndpointBody::from(made).showing(&secret));
    Ok((StatusCode::CREATED, address, body).into_response())
}

/// Change an endpoint.
#[utoipa::path(
    patch,
    path = "/api/v1/endpoints/{id}",
    operation_id = "change_endpoint",
    tag = "endpoints",
    params(("id" = EndpointId, Path, description = "The endpoint")),
    request_body = EndpointChange,
    responses((status = 200, description = "As it is now", body = EndpointBody))
)]
pub(super) async fn change(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    JsonBody(change): JsonBody<EndpointChange>,
) -> Result<Json<EndpointBody>, Problem> {
    let actor = caller.actor();
    loop {
        let now = endpoint(&state, &caller, id).await?;
        let wanted = body::checked(change.clone().of(now.settings()), &state.reachable)?;
        // Whoever came in between has changed something: each turn is another's success.
        if state.store.change_endpoint(&now, &wanted, &actor).await? {
            return Ok(Json(endpoint(&state, &caller, id).await?.into()));
        }
    }
}

/// Give an endpoint a new secret.
///
/// For a while notifications are signed with both, so that the receiver can change over. The answer shows the new one,
/// this once.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints/{id}/rotate",
    operation_id = "rotate_endpoint_secret",
    tag = "endpoints",
    params(("id" = EndpointId, Path, description = "The endpoint")),
    request_body = SecretRotation,
    responses(
        (status = 200, description = "Both count for now; `secret` is shown this once", body = EndpointBody),
        (status = 501, description = "The operator has set no key for secrets (`secret_key_missing`)", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    JsonBody(rotation): JsonBody<SecretRotation>,
) -> Result<Json<EndpointBody>, Problem> {
    endpoint(&state, &caller, id).await?;
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP);
    if overlap > LONGEST_OVERLAP {
        return Err(Problem::field(
            "overlap_seconds",
            format_args!("must be at most {LONGEST_OVERLAP}"),
        ));
    }
    let secret = body::secret(rotation.secret)?;
    let sealed = sealed(&state, id, &secret)?;
    let actor = caller.actor();
    let rotated = state.store.rotate_endpoint_secret(id, &sealed, overlap, &actor);
    if !rotated.await? {
        return Err(Problem::new(Code::NotFound));
    }
    let now = endpoint(&state, &caller, id).await?;
    Ok(Json(EndpointBody::from(now).showing(&secret)))
}

/// Remove an endpoint.
///
/// What was to be sent to it is not sent any more.
#[utoipa::path(
    delete,
    path = "/api/v1/endpoints/{id}",
    operation_id = "remove_endpoint",
    tag = "endpoints",
    params(("id" = EndpointId, Path, description = "The endpoint")),
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<StatusCode, Problem> {
    endpoint(&state, &caller, id).await?;
    state.store.remove_endpoint(id, &caller.actor()).await?;
    Ok(DONE)
}
