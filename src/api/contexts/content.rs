//! Downloads, for the pods that build.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::Archive;
use crate::{
    api::{
        ApiState,
        auth::bearer,
        extract::PathId,
        problem::{Code, Problem, ProblemBody},
    },
    blobs::BlobName,
    domain::ContextId,
};

/// Download an uploaded context.
///
/// For build pods: with the token that their build was given, as long as that build runs.
#[utoipa::path(
    get,
    path = "/api/v1/contexts/{id}/content",
    operation_id = "read_context",
    tag = "contexts",
    params(
        ("id" = ContextId, Path, description = "The context"),
    ),
    security(("context" = [])),
    responses(
        (status = 200, description = "The archive", body = Archive, content_type = "application/gzip"),
        (status = 401, description = "The token is missing, or does not open this context now", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn content(
    State(state): State<ApiState>,
    PathId(id): PathId<ContextId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let unauthorized = || Problem::new(Code::Unauthorized);
    let token = bearer(&headers).ok_or_else(unauthorized)?;
    let token_sha256: [u8; 32] = Sha256::digest(token).into();
    // The same answer whether the context is missing or the token opens another one.
    if !state.store.may_read_context(id, token_sha256).await? {
        return Err(unauthorized());
    }
    let Some(blob) = state.contexts.open(&BlobName::context(id)).await? else {
        return Err(Problem::new(Code::NotFound));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/gzip")),
        (header::CONTENT_LENGTH, blob.size.into()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(blob.bytes)).into_response())
}
