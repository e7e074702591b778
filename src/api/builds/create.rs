//! New builds: asked for, or asked for once more.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{
    body::{BuildBody, Details},
    etag::Tagged,
    read::details,
};
use crate::{
    api::{
        ApiState,
        extract::{JsonBody, PathId, single},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{BuildId, BuildSpec, NewBuild, ProjectName, ProjectSettings, build::Idempotency},
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
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    JsonBody(spec): JsonBody<BuildSpec>,
) -> Result<Response, Problem> {
    let idempotency = idempotency(&headers, &spec, None)?;
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
        (status = 409, description = "The context has been removed after its time: `context_gone`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The key was used for another request",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rebuild(
    State(state): State<ApiState>,
    PathId(id): PathId<BuildId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(old) = state.store.build(id).await? else {
        return Err(Problem::new(Code::NotFound));
    };
    let idempotency = idempotency(&headers, &old.spec, Some(id))?;
    submit(&state, old.spec, Some(id), idempotency).await
}

async fn submit(
    state: &ApiState,
    spec: BuildSpec,
    rebuild_of: Option<BuildId>,
    idempotency: Option<Idempotency>,
) -> Result<Response, Problem> {
    if let Some(settings) = settings(state, &spec.project).await? {
        check_against(&settings, &spec)?;
    }
    let new = NewBuild {
        id: BuildId::generate(),
        spec,
        rebuild_of,
        idempotency,
    };
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

/// What is settled for the project; `None` where this process cannot know it. The launcher checks it once more.
async fn settings(_: &ApiState, _: &ProjectName) -> Result<Option<ProjectSettings>, Problem> {
    Ok(None)
}

/// Whether what is settled for the project allows such a build.
fn check_against(settings: &ProjectSettings, spec: &BuildSpec) -> Result<(), Problem> {
    let secrets = settings.allow_secrets(&spec.secrets);
    secrets.map_err(|(place, why)| Problem::field(format!("secrets[{place}].secret"), why))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::problem::Code;

    #[test]
    fn a_secret_that_is_not_settled_for_the_project_is_refused_by_its_place() {
        let spec: BuildSpec = serde_json::from_value(json!({
            "source": { "git": { "url": "https://git.example.com/a.git" } },
            "destinations": ["registry.example.com/team/a:1"],
            "secrets": [
                { "id": "a", "secret": "ours", "key": "token" }, { "id": "b", "secret": "theirs", "key": "token" },
            ],
        }))
        .expect("a valid spec");
        let settings =
            |secrets| serde_json::from_value(json!({ "build_secrets": secrets })).expect("settings");
        check_against(&settings(json!(["ours", "theirs"])), &spec).expect("both are settled");
        let problem = check_against(&settings(json!(["ours"])), &spec).expect_err("one is not");
        assert_eq!(problem.code(), Code::ValidationFailed);
        let body = String::from_utf8(problem.body("r")).expect("JSON");
        assert!(
            body.contains("secrets[1].secret") && body.contains("theirs"),
            "{body}"
        );
    }
}
