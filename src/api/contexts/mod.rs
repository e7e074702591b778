//! `/api/v1/contexts`: build contexts that callers upload.

mod check;
mod content;
mod receive;
mod upload;

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    caller::Caller,
    extract::PathId,
    problem::{Code, Problem},
};
use crate::{
    domain::{ContextId, ProjectName, Scope},
    store::Context,
};

/// Routes that answer at once.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Routes whose bodies may be long, so that they take the time that they take.
pub(super) fn long_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(upload::upload))
        .routes(routes!(content::content))
}

/// The bytes of a tar.gz archive.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only describes bodies that are streamed")]
struct Archive(Vec<u8>);

/// An uploaded context.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Context)]
pub struct ContextBody {
    /// Its identifier: `source.upload.context_id` of a build.
    id: ContextId,
    /// Who may build from it.
    project: ProjectName,
    /// The archive's size in bytes.
    size: u64,
    /// The archive's SHA-256, in hexadecimal.
    #[schema(min_length = 64, max_length = 64)]
    sha256: String,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Context> for ContextBody {
    fn from(context: Context) -> Self {
        Self {
            id: context.id,
            project: context.project,
            size: context.size,
            sha256: hex::encode(context.sha256),
            created_at: context.created_at,
        }
    }
}

/// Get what is known of an uploaded context.
#[utoipa::path(
    get,
    path = "/api/v1/contexts/{id}",
    operation_id = "get_context",
    tag = "contexts",
    params(("id" = ContextId, Path, description = "The context")),
    responses((status = 200, description = "The context", body = ContextBody))
)]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<ContextId>,
) -> Result<Json<ContextBody>, Problem> {
    let context = state.store.context(id).await?;
    let context = context.ok_or_else(|| Problem::new(Code::NotFound))?;
    caller.may(Scope::BuildsRead, &context.project)?;
    Ok(Json(context.into()))
}
