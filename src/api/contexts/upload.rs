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
        caller::Caller,
        extract::{content_length, media_type, read, too_large},
        problem::{Code, Problem},
        query::Query,
    },
    blobs::{BlobName, Upload},
    domain::{ContextId, ProjectName, Scope},
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
    params(("project" = Option<ProjectName>, Query, description = "Who may build from it; when absent, the token's project, or `default`")),
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
    caller: Caller,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let named = query.one::<ProjectName>("project")?;
    query.finish()?;
    let project = named
        .or_else(|| caller.only_project().cloned())
        .unwrap_or_default();
    caller.may(Scope::ContextsWrite, &project)?;
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
    // From here on its bytes are known of: should they be left behind, retention removes them.
    state.store.begin_context(id).await?;
    let upload = state.contexts.begin(&BlobName::context(id)).await?;
    let received = receive(&state, &kind, request, upload).await?;
    let context = state
        .store
        .add_context(id, &project, received.size, received.sha256)
        .await?
        .ok_or_else(|| Problem::new(Code::RequestTimeout).detail("the upload took longer than a day"))?;
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
