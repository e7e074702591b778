//! `/api/v1/projects`: who owns builds, and what is settled for them.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    caller::Caller,
    extract::{JsonBody, PathId, single},
    problem::{Code, FieldError, Problem, ProblemBody},
    query::Query,
};
use crate::{
    domain::{ProjectName, ProjectTerms, Refusal, Scope},
    store::{Project, Settled},
};

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, change, remove))
}

/// Who owns builds, and what is settled for them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectBody {
    /// Its name.
    name: ProjectName,
    /// What is settled.
    terms: ProjectTerms,
    /// When it came into being.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its terms were changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A page of projects.
#[derive(Debug, Serialize, ToSchema)]
struct Projects {
    /// In the order of their names.
    projects: Vec<ProjectBody>,
    /// Give it as `cursor` to see those that follow; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A project that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProject {
    /// Its name.
    name: ProjectName,
    /// What is settled; nothing when absent.
    #[serde(default)]
    #[schema(required = false)]
    terms: ProjectTerms,
}

/// Make a project.
///
/// For administrators. A project that was removed may be made again.
#[utoipa::path(
    post,
    path = "/api/v1/projects",
    operation_id = "create_project",
    tag = "projects",
    request_body = NewProject,
    responses(
        (status = 201, description = "It is made", body = ProjectBody, headers(
            ("Location" = String, description = "Its address"),
            ("ETag" = String, description = "Names this version of its terms"),
        )),
        (status = 409, description = "It is there already: `project_exists`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewProject>,
) -> Result<Response, Problem> {
    caller.may_administrate()?;
    new.terms.check()?;
    let made = state
        .store
        .add_project(&new.name, &new.terms, &caller.actor())
        .await?;
    let project = made.ok_or_else(|| Problem::new(Code::ProjectExists))?;
    let location = format!("/api/v1/projects/{}", project.name);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        tagged(project),
    )
        .into_response())
}

/// List projects.
///
/// To a token of a project, which must have the scope `project:admin`, its own.
#[utoipa::path(
    get,
    path = "/api/v1/projects",
    operation_id = "list_projects",
    tag = "projects",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Projects on a page; 20 when absent"),
        ("cursor" = Option<ProjectName>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of projects", body = Projects))
)]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<Projects>, Problem> {
    let limit = query.number("limit", 1, 100, 20)?;
    let after = query.one::<ProjectName>("cursor")?;
    query.finish()?;
    let limit = u32::try_from(limit).expect("it is within bounds");
    let mut projects = match caller.project(Scope::ProjectAdmin, None)? {
        Some(own) if after.as_ref().is_none_or(|after| *after < own) => {
            state.store.project(&own).await?.into_iter().collect()
        }
        Some(_) => Vec::new(),
        None => state.store.projects(after.as_ref(), limit + 1).await?,
    };
    let more = projects.len() > limit as usize;
    projects.truncate(limit as usize);
    let last = projects.last().filter(|_| more);
    Ok(Json(Projects {
        next_cursor: last.map(|project| project.name.to_string()),
        projects: projects.into_iter().map(ProjectBody::from).collect(),
    }))
}

/// Get a project.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}",
    operation_id = "get_project",
    tag = "projects",
    params(("project" = ProjectName, Path, description = "The project")),
    responses((status = 200, description = "The project", body = ProjectBody, headers(
        ("ETag" = String, description = "Names this version of its terms"),
    )))
)]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(name): PathId<ProjectName>,
) -> Result<Response, Problem> {
    caller.may(Scope::ProjectAdmin, &name)?;
    let project = state.store.project(&name).await?;
    Ok(tagged(project.ok_or_else(|| Problem::new(Code::NotFound))?))
}

/// Change what is settled for a project.
///
/// For administrators. The terms are replaced as a whole: `If-Match` says which ones were read, so that nobody's change
/// is lost.
#[utoipa::path(
    put,
    path = "/api/v1/projects/{project}",
    operation_id = "change_project",
    tag = "projects",
    params(
        ("project" = ProjectName, Path, description = "The project"),
        ("If-Match" = String, Header, description = "The `ETag` of the terms that are to be replaced; `*`: whichever"),
    ),
    request_body = ProjectTerms,
    responses(
        (status = 200, description = "It is changed", body = ProjectBody, headers(
            ("ETag" = String, description = "Names this version of its terms"),
        )),
        (status = 412, description = "The terms were changed meanwhile: `precondition_failed`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing: `precondition_required`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
async fn change(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(name): PathId<ProjectName>,
    headers: HeaderMap,
    JsonBody(terms): JsonBody<ProjectTerms>,
) -> Result<Response, Problem> {
    caller.may_administrate()?;
    let version = known(&headers)?.ok_or_else(|| Problem::new(Code::PreconditionRequired))?;
    terms.check()?;
    let changed = state
        .store
        .change_project(&name, version, &terms, &caller.actor())
        .await?;
    settled(changed).map(tagged)
}

/// Remove a project.
///
/// For administrators. Its terms are forgotten and its tokens revoked; its finished builds are kept for their time. It
/// takes no builds until it is made again.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{project}",
    operation_id = "remove_project",
    tag = "projects",
    params(
        ("project" = ProjectName, Path, description = "The project"),
        ("If-Match" = Option<String>, Header, description = "An `ETag`: only if its terms are those"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "It has builds that have not ended: `project_busy`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "The terms were changed meanwhile: `precondition_failed`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(name): PathId<ProjectName>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.may_administrate()?;
    let version = known(&headers)?.flatten();
    settled(
        state
            .store
            .remove_project(&name, version, &caller.actor())
            .await?,
    )?;
    state.tokens_were_revoked();
    Ok(StatusCode::NO_CONTENT)
}

fn settled(settled: Settled) -> Result<Project, Problem> {
    match settled {
        Settled::Done(project) => Ok(*project),
        Settled::Missing => Err(Problem::new(Code::NotFound)),
        Settled::Changed => Err(Problem::new(Code::PreconditionFailed)),
        Settled::Busy => Err(Problem::new(Code::ProjectBusy)),
    }
}

fn tagged(project: Project) -> Response {
    let tag = HeaderValue::try_from(format!("\"{}\"", project.version));
    let tag = tag.expect("a number makes a header's value");
    ([(header::ETAG, tag)], Json(ProjectBody::from(project))).into_response()
}

/// The version that `If-Match` names: `Some(None)` for any. What is no version of ours matches none.
fn known(headers: &HeaderMap) -> Result<Option<Option<i64>>, Problem> {
    Ok(match single(headers, &header::IF_MATCH)? {
        None => None,
        Some("*") => Some(None),
        Some(tag) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            Some(Some(
                version.and_then(|version| version.parse().ok()).unwrap_or(-1),
            ))
        }
    })
}

impl From<Project> for ProjectBody {
    fn from(project: Project) -> Self {
        Self {
            name: project.name,
            terms: project.terms,
            created_at: project.created_at,
            updated_at: project.updated_at,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        FieldError::new(refusal.field, refusal.reason).into()
    }
}
