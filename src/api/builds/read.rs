//! One build: read, followed by its attempts and events, and cancelled.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};

use super::{
    body::{AttemptBody, Attempts, BuildBody, Details},
    etag::Tagged,
    wait,
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::{Code, Problem, ProblemBody},
    },
    domain::{Build, BuildId, Scope, State as BuildState},
    store::Cancelled,
};

/// Get a build with its attempts and steps.
///
/// With `Prefer: wait=30` and an `If-None-Match` the answer comes when it differs from the one that the client has, or
/// after so many seconds; without an `If-None-Match`, when the build has ended.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}",
    operation_id = "get_build",
    tag = "builds",
    params(
        ("id" = BuildId, Path, description = "The build"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`: 304 if nothing has changed since"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait so many seconds for news, 60 at most"),
    ),
    responses(
        (status = 200, description = "The build", body = BuildBody, headers(
            ("ETag" = String, description = "Names this version of the answer"),
            ("Preference-Applied" = String, description = "`wait=N`, where the client preferred to wait"),
        )),
        (status = 304, description = "It is as the client knows it"),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(wait) = wait::preferred(&headers) {
        return wait::answer(&state, &caller, id, &headers, wait).await;
    }
    let build = existing(&state, &caller, id).await?;
    Ok(tagged(&state, build).await?.unless_known(&headers))
}

/// Cancel a build.
///
/// A queued build is cancelled at once. One that runs is `cancelling` until its pod is gone; where its image was pushed
/// before it could be stopped, it is `succeeded` then. Asking again does no harm.
#[utoipa::path(
    post,
    path = "/api/v1/builds/{id}/cancel",
    operation_id = "cancel_build",
    tag = "builds",
    params(("id" = BuildId, Path, description = "The build")),
    responses(
        (status = 200, description = "It is cancelled, perhaps for some time", body = BuildBody),
        (status = 202, description = "It is being cancelled", body = BuildBody),
        (status = 409, description = "It ended otherwise before: `build_ended`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
) -> Result<Response, Problem> {
    state.may_with(&caller, Scope::BuildsWrite, id).await?;
    let build = match state.store.cancel(id).await? {
        None => return Err(Problem::new(Code::NotFound)),
        Some(Cancelled::Ended(build)) if build.state != BuildState::Cancelled => {
            return Err(
                Problem::new(Code::BuildEnded).detail(format!("the build is {} already", build.state))
            );
        }
        Some(Cancelled::Accepted(build) | Cancelled::Ended(build)) => build,
    };
    let status = if build.state.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, tagged(&state, build).await?).into_response())
}

/// List the attempts of a build.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/attempts",
    operation_id = "list_attempts",
    tag = "builds",
    params(("id" = BuildId, Path, description = "The build")),
    responses((status = 200, description = "Its attempts", body = Attempts))
)]
pub(super) async fn attempts(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
) -> Result<Json<Attempts>, Problem> {
    existing(&state, &caller, id).await?;
    let attempts = state.store.attempts(id).await?;
    Ok(Json(Attempts {
        attempts: attempts.into_iter().map(AttemptBody::from).collect(),
    }))
}

/// The build, or 404. Whether the caller may read it was asked before.
pub(super) async fn found(state: &ApiState, id: BuildId) -> Result<Build, Problem> {
    let build = state.store.build(id).await?;
    build.ok_or_else(|| Problem::new(Code::NotFound))
}

/// The build, for those who may read it; 404 where it is not theirs, as if there were none.
pub(super) async fn existing(state: &ApiState, caller: &Caller, id: BuildId) -> Result<Build, Problem> {
    let build = found(state, id).await?;
    caller.may(Scope::BuildsRead, &build.spec.project)?;
    Ok(build)
}

/// The build with all that is shown of it.
pub(super) async fn tagged(state: &ApiState, build: Build) -> Result<Tagged, Problem> {
    let details = details(state, &build).await?;
    Ok(Tagged::new(&BuildBody::full(build, details)))
}

/// What is shown of a build that is read by itself.
pub(super) async fn details(state: &ApiState, build: &Build) -> Result<Details, Problem> {
    let store = &state.store;
    let attempts = store.attempts(build.id).await?;
    let steps = match attempts.last() {
        Some(latest) => store.steps(build.id, &latest.name).await?,
        None => Vec::new(),
    };
    let place = match build.state {
        BuildState::Queued => store.place(build.id).await?,
        _ => None,
    };
    Ok(Details {
        attempts,
        steps,
        place,
    })
}
