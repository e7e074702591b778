//! `/api/v1/events`: what happens to the builds of a project.

use std::{str::FromStr, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    builds::EventBody,
    caller::Caller,
    problem::Problem,
    query::Query,
    streams::{self, Gone, Out},
};
use crate::{
    domain::{ProjectName, Scope},
    store::{EventCursor, Store},
};

/// Events on a page unless the client says otherwise.
const DEFAULT_LIMIT: u64 = 100;
/// The most events on a page, and the most that a stream reads at once.
const MAX_LIMIT: u32 = 500;
/// What happens within this time is read together; and by then those who began before have mostly committed.
const TOGETHER: Duration = Duration::from_millis(50);

/// A page of a project's events.
#[derive(Debug, Serialize, ToSchema)]
struct ProjectEvents {
    /// Oldest first. Those of one build may come in another order than they happened, where they happened at almost
    /// the same time: their ids tell.
    events: Vec<EventBody>,
    /// Give it as `after` to see what comes then; also on the last page, so that one can go on later.
    next_cursor: String,
}

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(events))
}

/// List what happened to the builds of a project, or follow it.
///
/// An event is shown once every change that was begun before it has been committed or undone, so that none is missed by
/// whoever reads on from a cursor.
///
/// With `Accept: text/event-stream` these are Server-Sent Events without an end: `state` for each change of a build
/// (its data is one of the list's events, its id the cursor, where to resume). Without a cursor it begins now.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "list_project_events",
    tag = "builds",
    params(
        ("project" = Option<ProjectName>, Query, description = "Whose builds; may be absent for a token of a project"),
        ("after" = Option<String>, Query, description = "What a page gave as `next_cursor`, or the id of an event of a \
            stream; when absent, a list begins with the first event and a stream with what happens from now on"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Events on a page; 100 when absent"),
        ("Last-Event-ID" = Option<String>, Header, description = "Of the last event that the client has: it goes on there"),
    ),
    responses(
        (status = 200, description = "Events", content(
            (ProjectEvents = "application/json"),
            (String = "text/event-stream"),
        )),
    )
)]
async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let project = query.one::<ProjectName>("project")?;
    let after = query.one::<Cursor>("after")?.map(|cursor| cursor.0);
    let limit = query.number("limit", 1, MAX_LIMIT.into(), DEFAULT_LIMIT)?;
    query.finish()?;
    let project = project.or_else(|| caller.only_project().cloned());
    let project = project.ok_or_else(|| Problem::field("project", "is required"))?;
    caller.may(Scope::BuildsRead, &project)?;
    if streams::wants_events(&headers) {
        let last = streams::last_event_id(&headers)?.map(str::parse::<Cursor>);
        let last = last
            .transpose()
            .map_err(|reason| Problem::field("last-event-id", reason))?;
        let cursor = match last.map(|cursor| cursor.0).or(after) {
            Some(cursor) => cursor,
            None => state.store.events_from_now().await?,
        };
        let store = state.store.clone();
        let place = state.streams.open("project_events", caller.session())?;
        return Ok(place.events(move |out| async move { follow(&out, &store, &project, cursor).await }));
    }
    let limit = u32::try_from(limit).expect("it is within bounds");
    let after = after.unwrap_or_default();
    let page = state.store.project_events(&project, after, limit).await?;
    let next = page.last().map_or(after, |(cursor, _)| *cursor);
    Ok(Json(ProjectEvents {
        events: page.into_iter().map(|(_, event)| event.into()).collect(),
        next_cursor: Cursor(next).to_string(),
    })
    .into_response())
}

/// Sends what happens, for as long as somebody reads.
async fn follow(
    out: &Out,
    store: &Store,
    project: &ProjectName,
    mut cursor: EventCursor,
) -> Result<(), Gone> {
    let mut changes = store.watch_builds();
    loop {
        // While the database is away there is nothing to tell; the next look comes soon.
        let page = store.project_events(project, cursor, MAX_LIMIT).await;
        let page = page.unwrap_or_default();
        let full = page.len() == MAX_LIMIT as usize;
        for (at, event) in page {
            cursor = at;
            let id = Cursor(at).to_string();
            out.send(streams::event("state", Some(&id), &EventBody::from(event)))
                .await?;
        }
        if !full {
            changes.wait().await;
            tokio::time::sleep(TOGETHER).await;
        }
    }
}

/// Where a reader stands. Clients must not look inside.
struct Cursor(EventCursor);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.xid.to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.id.to_be_bytes());
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let bytes: Option<[u8; 16]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let [xid, id] = bytes
            .map(|bytes| [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|n| bytes[at + n]))))
            .ok_or("is no cursor that a page or an event has given")?;
        Ok(Self(EventCursor {
            xid,
            id: id.cast_signed(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(xid in any::<u64>(), id in any::<i64>(), text in "[A-Za-z0-9_-]{0,30}") {
            let cursor = EventCursor { xid, id };
            let back: Cursor = Cursor(cursor).to_string().parse().expect("it is one");
            prop_assert_eq!(back.0, cursor);
            let _ = text.parse::<Cursor>();
        }
    }
}
