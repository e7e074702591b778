//! Uploads.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{
    Archive, ContextBody,
    receive::{self, Bounds, Received},
};
use crate::{
    api::{
        ApiState,
        blobs::Upload,
        extract::{content_length, media_type, read, too_large},
        problem::{Code, Problem},
        query::Query,
    },
    domain::{ContextId, ProjectName},
    store::StoreError,
};

/// The longest Dockerfile.
const DOCKERFILE_LIMIT: usize = 1 << 20;

/// What a body is.
enum Kind {
    /// A tar archive, compressed by gzip.
    Archive,
    /// A Dockerfile's text.
    Dockerfile,
}

/// Upload a build context.
///
/// The body is either a tar.gz archive, or the text of a Dockerfile that needs no other file. It is kept for builds of
/// its project.
#[utoipa::path(
    post,
    path = "/api/v1/contexts",
    operation_id = "upload_context",
    tag = "contexts",
    params(("project" = Option<ProjectName>, Query, description = "Who may build from it; `default` when absent")),
    request_body(
        description = "A tar.gz archive (also as `application/x-gtar` or `application/octet-stream`), or a \
            Dockerfile's text (also as `text/x-dockerfile`)",
        content((Archive = "application/gzip"), (String = "text/plain"))
    ),
    responses(
        (status = 201, description = "It is stored", body = ContextBody, headers(
            ("Location" = String, description = "The context's address"),
        )),
    )
)]
pub(super) async fn upload(
    State(state): State<ApiState>,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let project = query.one::<ProjectName>("project")?.unwrap_or_default();
    query.finish()?;
    let kind = kind(request.headers())?;
    let _permit = state
        .uploads
        .try_acquire()
        .map_err(|_| Problem::new(Code::Overloaded).detail("too many contexts are being uploaded"))?;
    let announced = content_length(request.headers());
    if announced.is_some_and(|length| length > state.options.max_context_size) {
        return Err(too_large(state.options.max_context_size));
    }
    let id = ContextId::generate();
    let upload = state.blobs.begin(id).await?;
    let received = receive(&state, &kind, request, upload).await?;
    let context = match state
        .store
        .add_context(id, &project, received.size, received.sha256)
        .await
    {
        Ok(context) => context,
        Err(error) => return Err(forget(&state, id, error).await),
    };
    let location = format!("/api/v1/contexts/{id}");
    let answer = Json(ContextBody::from(context));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer).into_response())
}

async fn receive(
    state: &ApiState,
    kind: &Kind,
    request: Request,
    upload: Upload,
) -> Result<Received, Problem> {
    let (parts, body) = request.into_parts();
    match kind {
        Kind::Dockerfile => {
            let text = read(&parts.headers, body, DOCKERFILE_LIMIT).await?;
            receive::dockerfile(&text, upload).await
        }
        Kind::Archive => {
            let bounds = Bounds {
                size: state.options.max_context_size,
                idle: state.options.upload_idle_timeout,
                archive: state.options.archive_limits.clone(),
            };
            receive::archive(body, upload, bounds).await
        }
    }
}

/// Nobody learnt of the context: its bytes go again.
async fn forget(state: &ApiState, id: ContextId, error: StoreError) -> Problem {
    if let Err(left) = state.blobs.remove(id).await {
        tracing::warn!(error = %left, context.id = %id, "a context without a row could not be removed");
    }
    error.into()
}

fn kind(headers: &HeaderMap) -> Result<Kind, Problem> {
    match media_type(headers)?.as_str() {
        "application/gzip" | "application/x-gzip" | "application/x-gtar" | "application/octet-stream" => {
            Ok(Kind::Archive)
        }
        "text/plain" | "text/x-dockerfile" => Ok(Kind::Dockerfile),
        _ => Err(Problem::new(Code::UnsupportedMediaType)
            .detail("send application/gzip for a tar.gz archive, or text/plain for a Dockerfile alone")),
    }
}
