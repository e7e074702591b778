//! New builds: asked for, or asked for once more.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{
    asked::Asked,
    body::{BuildBody, Details},
    etag::Tagged,
    read::details,
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{PathId, single},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{BuildId, BuildSpec, NewBuild, Scope, build::Idempotency},
    store::{CreateError, Created},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Create a build.
///
/// It waits in the queue until its project has a free slot. A request with an `Idempotency-Key` may be sent again
/// with the same body, and gives the same build.
#[utoipa::path(
    post,
    path = "/api/v1/builds",
    operation_id = "create_build",
    tag = "builds",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "A name for this request, unique within the project: sent again, it counts once")),
    request_body = BuildSpec,
    responses(
        (status = 201, description = "It is queued", body = BuildBody, headers(
            ("Location" = String, description = "The build's address"),
            ("ETag" = String, description = "Names this version of the answer"),
        )),
        (status = 200, description = "The same request came before: the build that it made", body = BuildBody, headers(
            ("Location" = String, description = "The build's address"),
            ("ETag" = String, description = "Names this version of the answer"),
            ("Idempotency-Replayed" = String, description = "`true`"),
        )),
        (status = 429, description = "The project has as many builds as it may have: `quota_exceeded`",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds after which another try makes sense"))),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    asked: Asked,
) -> Result<Response, Problem> {
    let spec = asked.spec(&state, &caller).await?;
    let idempotency = idempotency(&headers, &spec, None)?;
    let spec = settle(&state, spec, caller.decides()).await?;
    submit(&state, spec, None, idempotency).await
}

/// Build again what a build asked for.
///
/// The new build names the old one in `rebuild_of`. A git branch may have moved meanwhile.
#[utoipa::path(
    post,
    path = "/api/v1/builds/{id}/rebuild",
    operation_id = "rebuild",
    tag = "builds",
    params(
        ("id" = BuildId, Path, description = "The build to repeat"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "A name for this request, unique within the project: sent again, it counts once"),
    ),
    responses(
        (status = 201, description = "The new build is queued", body = BuildBody, headers(
            ("Location" = String, description = "The new build's address"),
            ("ETag" = String, description = "Names this version of the answer"),
        )),
        (status = 200, description = "The same request came before: the build that it made", body = BuildBody, headers(
            ("Location" = String, description = "The build's address"),
            ("ETag" = String, description = "Names this version of the answer"),
            ("Idempotency-Replayed" = String, description = "`true`"),
        )),
        (status = 429, description = "The project has as many builds as it may have: `quota_exceeded`",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds after which another try makes sense"))),
        (status = 409, description = "The context has been removed after its time: `context_gone`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The key was used for another request",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rebuild(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(old) = state.store.build(id).await? else {
        return Err(Problem::new(Code::NotFound));
    };
    caller.may(Scope::BuildsWrite, &old.spec.project)?;
    let idempotency = idempotency(&headers, &old.spec, Some(id))?;
    let spec = settle(&state, old.spec, caller.decides()).await?;
    submit(&state, spec, Some(id), idempotency).await
}

/// The spec as its project settles it; `anywhere` as in [`settle`](crate::domain::ProjectSettings::settle), which the operator may allow too.
///
/// # Errors
/// 422 where the project may not ask for it, or was removed.
pub(in crate::api) async fn settle(
    state: &ApiState,
    spec: BuildSpec,
    anywhere: bool,
) -> Result<BuildSpec, Problem> {
    let settled = state.store.project_settings(&spec.project).await?;
    if settled.removed {
        return Err(Problem::field("project", "was removed, and takes no builds"));
    }
    let anywhere = anywhere || state.options.allow_any_destination;
    Ok(settled.settings.settle(spec, anywhere)?)
}

async fn submit(
    state: &ApiState,
    spec: BuildSpec,
    rebuild_of: Option<BuildId>,
    idempotency: Option<Idempotency>,
) -> Result<Response, Problem> {
    let new = NewBuild {
        id: BuildId::generate(),
        spec,
        rebuild_of,
        idempotency,
    };
    if let Some(old) = rebuild_of {
        state.store.show_commit_status_of(new.id, old).await?;
    }
    let created = match state.creator.create(new).await {
        // It was there when the build was made that is to be repeated.
        Err(CreateError::NoSuchContext) if rebuild_of.is_some() => {
            return Err(Problem::new(Code::ContextGone).detail(
                "the uploaded context was removed after its time: upload it again, and create a build of it",
            ));
        }
        created => created?,
    };
    match created {
        Created::New(build) => {
            let location = location(build.id);
            let body = Tagged::new(&BuildBody::full(build, Details::default()));
            Ok((StatusCode::CREATED, [location], body).into_response())
        }
        Created::Repeated(build) => {
            let location = location(build.id);
            // As it was answered then: without its place.
            let details = Details {
                place: None,
                ..details(state, &build).await?
            };
            let body = Tagged::new(&BuildBody::full(build, details));
            let replayed = (REPLAYED, HeaderValue::from_static("true"));
            Ok((StatusCode::OK, [location, replayed], body).into_response())
        }
    }
}

fn location(id: BuildId) -> (HeaderName, HeaderValue) {
    let path = HeaderValue::try_from(format!("/api/v1/builds/{id}"));
    (
        header::LOCATION,
        path.expect("an identifier makes a header's value"),
    )
}

/// The caller's key, with what it stands for.
fn idempotency(
    headers: &HeaderMap,
    spec: &BuildSpec,
    rebuild_of: Option<BuildId>,
) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = single(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    if !(1..=255).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::field(
            IDEMPOTENCY_KEY.as_str(),
            "must be 1 to 255 visible ASCII characters",
        ));
    }
    // The parsed request, not its bytes: the order of fields and white space do not make it another one.
    let request = serde_json::to_vec(&(rebuild_of, spec)).expect("a request can be written as JSON");
    Ok(Some(Idempotency {
        key: key.to_owned(),
        request_sha256: Sha256::digest(request).into(),
    }))
}
