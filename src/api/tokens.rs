//! `/api/v1/tokens` and `/api/v1/projects/{project}/tokens`: what opens the API, for administrators and in a project.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    caller::Caller,
    extract::{JsonBody, PathId, PathIds},
    problem::{Code, Problem},
    query::Query,
};
use crate::{
    domain::{NewToken, ProjectName, Scope, Token, TokenId, TokenName, TokenText},
    store::TokenError,
};

/// A century: whoever wants more wants a token that does not expire.
const LONGEST: u64 = 36_500 * 86_400;

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(revoke))
        .routes(routes!(create_of_project, list_of_project))
        .routes(routes!(revoke_of_project))
}

/// A token that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
struct NewTokenBody {
    /// What to call it.
    name: TokenName,
    /// What it may be used for.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// Seconds after which it expires; it does not when absent. Never later than the token that asks for it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3_153_600_000_u64)]
    expires_in_seconds: Option<u64>,
}

/// What is known of a token: everything but its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenBody {
    /// Its identifier; no secret.
    id: TokenId,
    /// The only project that it opens; null: all of them.
    #[schema(required = true)]
    project: Option<ProjectName>,
    /// What it is called.
    name: TokenName,
    /// What it may be used for.
    scopes: Vec<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it opens nothing.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was used last, to about a minute.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// The token itself: here, and nowhere else, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "slw_…")]
    token: Option<String>,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
struct Tokens {
    /// Newest first; also those that open nothing any more.
    tokens: Vec<TokenBody>,
    /// Give it as `cursor` to see older ones; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Make an administrator's token.
///
/// Its scope is `admin`: everything, in every project. It is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_admin_token",
    tag = "tokens",
    request_body = NewTokenBody,
    responses((status = 201, description = "It is made", body = TokenBody))
)]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewTokenBody>,
) -> Result<Response, Problem> {
    caller.may_administrate()?;
    make(&state, &caller, None, new).await
}

/// Make a token of a project.
///
/// It is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/tokens",
    operation_id = "create_token",
    tag = "tokens",
    params(("project" = ProjectName, Path, description = "The project")),
    request_body = NewTokenBody,
    responses((status = 201, description = "It is made", body = TokenBody))
)]
async fn create_of_project(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(project): PathId<ProjectName>,
    JsonBody(new): JsonBody<NewTokenBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::ProjectAdmin, &project)?;
    make(&state, &caller, Some(project), new).await
}

async fn make(
    state: &ApiState,
    caller: &Caller,
    project: Option<ProjectName>,
    body: NewTokenBody,
) -> Result<Response, Problem> {
    let lifetime = match body.expires_in_seconds {
        Some(seconds) if !(1..=LONGEST).contains(&seconds) => {
            let reason = format_args!("must be between 1 and {LONGEST}");
            return Err(Problem::field("expires_in_seconds", reason));
        }
        seconds => seconds.map(Duration::from_secs),
    };
    let new = NewToken::new(project, body.name, body.scopes, lifetime)
        .map_err(|reason| Problem::field("scopes", reason))?;
    // Nobody gives what they have not.
    for scope in new.scopes() {
        caller.has(*scope)?;
    }
    let text = TokenText::of(rand::random());
    let actor = caller.actor();
    let made = state
        .store
        .add_token(&new, text.sha256(), caller.expires_at(), &actor);
    let token = made.await.map_err(|error| match error {
        TokenError::NoSuchProject => Problem::new(Code::NotFound),
        TokenError::Store(error) => error.into(),
    })?;
    let body = TokenBody {
        token: Some(text.expose().to_owned()),
        ..token.into()
    };
    let never_kept = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::CREATED, [never_kept], Json(body)).into_response())
}

/// List administrators' tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_admin_tokens",
    tag = "tokens",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Tokens on a page; 20 when absent"),
        ("cursor" = Option<TokenId>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of tokens", body = Tokens))
)]
async fn list(State(state): State<ApiState>, caller: Caller, query: Query) -> Result<Json<Tokens>, Problem> {
    caller.may_administrate()?;
    page(&state, None, query).await
}

/// List the tokens of a project, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tokens",
    operation_id = "list_tokens",
    tag = "tokens",
    params(
        ("project" = ProjectName, Path, description = "The project"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Tokens on a page; 20 when absent"),
        ("cursor" = Option<TokenId>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of tokens", body = Tokens))
)]
async fn list_of_project(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(project): PathId<ProjectName>,
    query: Query,
) -> Result<Json<Tokens>, Problem> {
    caller.may(Scope::ProjectAdmin, &project)?;
    if state.store.project(&project).await?.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    page(&state, Some(&project), query).await
}

async fn page(
    state: &ApiState,
    project: Option<&ProjectName>,
    mut query: Query,
) -> Result<Json<Tokens>, Problem> {
    let limit = query.number("limit", 1, 100, 20)?;
    let before = query.one::<TokenId>("cursor")?;
    query.finish()?;
    let limit = u32::try_from(limit).expect("it is within bounds");
    let mut tokens = state.store.tokens(project, before, limit + 1).await?;
    let more = tokens.len() > limit as usize;
    tokens.truncate(limit as usize);
    let last = tokens.last().filter(|_| more);
    Ok(Json(Tokens {
        next_cursor: last.map(|token| token.id.to_string()),
        tokens: tokens.into_iter().map(TokenBody::from).collect(),
    }))
}

/// Revoke an administrator's token.
///
/// Doing so again does no harm. On other replicas it may open the API for some seconds more.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    operation_id = "revoke_admin_token",
    tag = "tokens",
    params(("id" = TokenId, Path, description = "The token")),
    responses((status = 204, description = "It is revoked"))
)]
async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TokenId>,
) -> Result<StatusCode, Problem> {
    caller.may_administrate()?;
    end(&state, &caller, None, id).await
}

/// Revoke a token of a project.
///
/// Doing so again does no harm. On other replicas it may open the API for some seconds more.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{project}/tokens/{id}",
    operation_id = "revoke_token",
    tag = "tokens",
    params(
        ("project" = ProjectName, Path, description = "The project"),
        ("id" = TokenId, Path, description = "The token"),
    ),
    responses((status = 204, description = "It is revoked"))
)]
async fn revoke_of_project(
    State(state): State<ApiState>,
    caller: Caller,
    PathIds(project, id): PathIds<ProjectName, TokenId>,
) -> Result<StatusCode, Problem> {
    caller.may(Scope::ProjectAdmin, &project)?;
    end(&state, &caller, Some(&project), id).await
}

async fn end(
    state: &ApiState,
    caller: &Caller,
    project: Option<&ProjectName>,
    id: TokenId,
) -> Result<StatusCode, Problem> {
    let revoked = state.store.revoke_token(project, id, &caller.actor()).await?;
    state.tokens_were_revoked();
    match revoked {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Problem::new(Code::NotFound)),
    }
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            project: token.project,
            name: token.name,
            scopes: token.scopes,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
            token: None,
        }
    }
}
