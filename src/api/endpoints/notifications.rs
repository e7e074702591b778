//! What an endpoint was told, and what came of each try.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint;
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::{Code, Problem, ProblemBody},
        query::Query,
    },
    domain::{BuildId, EndpointId, endpoint::EventType},
    store::{self, Notification},
};

/// How a notification stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// It is to be tried, or to be tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was given up.
    Failed,
}

/// One message to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationBody {
    /// Its number. Its `webhook-id` is `msg_<the endpoint's id without dashes>_<this number>`.
    id: i64,
    /// What it tells of.
    r#type: EventType,
    /// Which build; null for a test.
    #[schema(required = true)]
    build_id: Option<BuildId>,
    /// When what it tells of happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How it stands.
    state: NotificationState,
    /// When it is tried next, at the earliest.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
    /// When it was taken or given up.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Every try, oldest first.
    tries: Vec<TryBody>,
}

/// One try to deliver a notification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Try)]
pub struct TryBody {
    /// Counted from 1.
    number: u32,
    /// When it had ended.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How long it took.
    duration_ms: u32,
    /// The answer's status; null where there was none.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why it does not count as taken; null where it was.
    #[schema(required = true)]
    error: Option<String>,
    /// The first bytes of the answer's body, 1024 at most.
    #[schema(required = true)]
    answer: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notifications {
    /// Newest first.
    notifications: Vec<NotificationBody>,
    /// Leads to the next page, where there is one.
    #[schema(required = true)]
    next_cursor: Option<i64>,
}

/// List what an endpoint was told, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints/{id}/notifications",
    operation_id = "list_notifications",
    tag = "endpoints",
    params(
        ("id" = EndpointId, Path, description = "The endpoint"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Notifications on a page; 20 when absent"),
        ("cursor" = Option<i64>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of notifications with every try", body = Notifications))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    mut query: Query,
) -> Result<Json<Notifications>, Problem> {
    let limit = query.number("limit", 1, 100, 20)?;
    let before = query.one::<i64>("cursor")?;
    query.finish()?;
    endpoint(&state, &caller, id).await?;
    let limit = u32::try_from(limit).expect("the limit is at most 100");
    let mut found = state.store.notifications(id, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    Ok(Json(Notifications {
        next_cursor: found.last().filter(|_| more).map(|last| last.id),
        notifications: found.into_iter().map(NotificationBody::from).collect(),
    }))
}

/// Show a notification.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints/{id}/notifications/{number}",
    operation_id = "get_notification",
    tag = "endpoints",
    params(
        ("id" = EndpointId, Path, description = "The endpoint"),
        ("number" = i64, Path, description = "The notification's number"),
    ),
    responses((status = 200, description = "The notification with every try", body = NotificationBody))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<Json<NotificationBody>, Problem> {
    let (id, number) = named(&path)?;
    endpoint(&state, &caller, id).await?;
    shown(&state, id, number).await.map(Json)
}

/// Send a notification once more.
///
/// At once, whatever came of it before; if need be as often as a new one, with the same `webhook-id` and body.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints/{id}/notifications/{number}/redeliver",
    operation_id = "redeliver_notification",
    tag = "endpoints",
    params(
        ("id" = EndpointId, Path, description = "The endpoint"),
        ("number" = i64, Path, description = "The notification's number"),
    ),
    responses(
        (status = 202, description = "It will be sent", body = NotificationBody),
        (status = 409, description = "The endpoint is disabled (`endpoint_disabled`)", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn redeliver(
    State(state): State<ApiState>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<(StatusCode, Json<NotificationBody>), Problem> {
    let (id, number) = named(&path)?;
    if !endpoint(&state, &caller, id).await?.enabled {
        return Err(Problem::new(Code::EndpointDisabled));
    }
    if !state.store.redeliver(id, number).await? {
        return Err(Problem::new(Code::NotFound));
    }
    Ok((StatusCode::ACCEPTED, Json(shown(&state, id, number).await?)))
}

/// Try an endpoint.
///
/// It is sent a notification of type `endpoint.test`, signed like any other.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints/{id}/test",
    operation_id = "test_endpoint",
    tag = "endpoints",
    params(("id" = EndpointId, Path, description = "The endpoint")),
    responses(
        (status = 202, description = "It will be sent", body = NotificationBody),
        (status = 409, description = "The endpoint is disabled (`endpoint_disabled`)", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<(StatusCode, Json<NotificationBody>), Problem> {
    endpoint(&state, &caller, id).await?;
    let number = state.store.test_endpoint(id).await?;
    let number = number.ok_or_else(|| Problem::new(Code::EndpointDisabled))?;
    Ok((StatusCode::ACCEPTED, Json(shown(&state, id, number).await?)))
}

async fn shown(state: &ApiState, id: EndpointId, number: i64) -> Result<NotificationBody, Problem> {
    let found = state.store.notification(id, number).await?;
    found
        .map(NotificationBody::from)
        .ok_or_else(|| Problem::new(Code::NotFound))
}

/// What the path names; what is no identifier names nothing.
fn named(Path((id, number)): &Path<(String, String)>) -> Result<(EndpointId, i64), Problem> {
    id.parse()
        .ok()
        .zip(number.parse().ok())
        .ok_or_else(|| Problem::new(Code::NotFound))
}

impl From<Notification> for NotificationBody {
    fn from(one: Notification) -> Self {
        Self {
            id: one.id,
            r#type: one.kind,
            build_id: one.build,
            at: one.at,
            state: match one.state {
                store::NotificationState::Waiting => NotificationState::Waiting,
                store::NotificationState::Delivered => NotificationState::Delivered,
                store::NotificationState::Failed => NotificationState::Failed,
            },
            next_try_at: one.next_try_at,
            finished_at: one.finished_at,
            tries: one.tries.into_iter().map(TryBody::from).collect(),
        }
    }
}

impl From<store::Try> for TryBody {
    fn from(one: store::Try) -> Self {
        Self {
            number: one.number,
            at: one.at,
            duration_ms: one.duration_ms,
            status: one.status,
            error: one.error,
            answer: one.answer,
        }
    }
}
