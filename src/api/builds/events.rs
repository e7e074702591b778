//! What happened to a build: as a list, or as it happens.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use serde::Serialize;

use super::{
    body::{EventBody, Events},
    read::existing,
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::Problem,
        query::Query,
        streams::{self, Gone, Out},
    },
    domain::{BuildEvent, BuildId, EventKind, State as BuildState},
    store::Store,
};

#[derive(Serialize)]
struct End {
    state: BuildState,
}

/// List what happened to a build, or follow it.
///
/// With `Accept: text/event-stream` these are Server-Sent Events that go on until the build has ended: `state` for each
/// change (its data is one of the list's events, its id the event's, where to resume), then `end`
/// (`{"state":"succeeded"}`), which is the last.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/events",
    operation_id = "list_events",
    tag = "builds",
    params(
        ("id" = BuildId, Path, description = "The build"),
        ("after" = Option<i64>, Query, minimum = 0, description = "Only events after the one with this id"),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^[0-9]{0,18}$", description = "Of the last event that the client has: it goes on there"),
    ),
    responses(
        (status = 200, description = "Its events", content(
            (Events = "application/json"),
            (String = "text/event-stream"),
        )),
    )
)]
pub(super) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let after = query.number("after", 0, i64::MAX as u64, 0)?;
    query.finish()?;
    let after = i64::try_from(after).expect("it is within bounds");
    let last: Option<i64> = streams::last_event_id(&headers)?
        .map(|last| last.parse().ok().filter(|id| *id >= 0))
        .map(|last| last.ok_or_else(|| Problem::field("last-event-id", "is no event's id")))
        .transpose()?;
    let build = existing(&state, &caller, id).await?;
    if !streams::wants_events(&headers) {
        let events = state.store.events_after(id, after).await?;
        let events = events.into_iter().map(EventBody::from).collect();
        return Ok(Json(Events { events }).into_response());
    }
    let after = last.unwrap_or(after);
    let ended = Some(build.state).filter(|state| state.is_terminal());
    let store = state.store.clone();
    let place = state.streams.open("build_events", caller.session())?;
    Ok(place.events(move |out| async move { follow(&out, &store, id, after, ended).await }))
}

/// Sends what happens to a build until it has ended, which it may have `ended` before all that is sent here.
async fn follow(
    out: &Out,
    store: &Store,
    id: BuildId,
    mut after: i64,
    mut ended: Option<BuildState>,
) -> Result<(), Gone> {
    let mut changes = store.watch_build(id);
    loop {
        // While the database is away there is nothing to tell; the next look comes soon.
        for event in store.events_after(id, after).await.unwrap_or_default() {
            after = event.id;
            ended = Some(state(&event)).filter(|state| state.is_terminal());
            out.send(streams::event(
                "state",
                Some(&after.to_string()),
                &EventBody::from(event),
            ))
            .await?;
        }
        if let Some(state) = ended {
            return out.send(streams::event("end", None, &End { state })).await;
        }
        changes.changed().await;
    }
}

fn state(event: &BuildEvent) -> BuildState {
    let EventKind::State(state) = event.kind;
    state
}
