//! One attempt's log as Server-Sent Events.

use axum::response::Response;
use serde::Serialize;

use super::{
    hub::{Follower, Next},
    start::Wanted,
};
use crate::{
    api::{
        ApiState,
        auth::Session,
        problem::Problem,
        streams::{Gone, Out, event},
    },
    domain::{BuildId, State},
    store::{LogState, Store},
};

#[derive(Serialize)]
struct AttemptEvent {
    attempt: u32,
}

#[derive(Serialize)]
struct EndEvent {
    attempt: u32,
    offset: u64,
    next_attempt: Option<u32>,
    build_state: Option<State>,
}

pub(super) async fn answer(
    state: &ApiState,
    session: Session,
    id: BuildId,
    wanted: &Wanted,
) -> Result<Response, Problem> {
    let attempt = wanted.attempt(state, id).await?;
    let offset = match attempt {
        Some(attempt) => wanted.offset(state, id, attempt).await?,
        None => wanted.offset_of_none(),
    };
    let (logs, hubs) = (state.logs.clone(), state.hubs.clone());
    let place = state.streams.open("log_events", session)?;
    Ok(place.events(move |out| async move {
        let attempt = match attempt {
            Some(attempt) => attempt,
            None => match first_attempt(logs.store(), id).await {
                Ok(attempt) => attempt,
                Err(ended) => return end(&out, 0, 0, ended).await,
            },
        };
        out.send(event("attempt", None, &AttemptEvent { attempt }))
            .await?;
        let follower = hubs.follow(&logs, id, attempt, offset);
        write(&out, attempt, follower).await
    }))
}

async fn write(out: &Out, attempt: u32, mut follower: Follower) -> Result<(), Gone> {
    loop {
        match follower.next().await {
            Next::Piece(piece) => out.send(piece.event(attempt)).await?,
            Next::End { offset, seen } => return end(out, attempt, offset, seen).await,
        }
    }
}

async fn end(out: &Out, attempt: u32, offset: u64, seen: Option<LogState>) -> Result<(), Gone> {
    let data = EndEvent {
        attempt,
        offset,
        next_attempt: seen.filter(|seen| seen.latest > attempt).map(|_| attempt + 1),
        build_state: seen.map(|seen| seen.build),
    };
    out.send(event("end", None, &data)).await
}

/// Waits for the first attempt of a build. An error is the build's end, without any; `None` if it was removed.
pub(super) async fn first_attempt(store: &Store, id: BuildId) -> Result<u32, Option<LogState>> {
    let mut changes = store.watch_build(id);
    loop {
        // In this order: an attempt is recorded before its build's end, or with it.
        if let Ok(build) = store.build(id).await
            && let Ok(attempts) = store.attempts(id).await
        {
            if let Some(first) = attempts.first() {
                return Ok(first.number);
            }
            let Some(build) = build else { return Err(None) };
            if build.state.is_terminal() {
                return Err(Some(LogState {
                    total: 0,
                    complete: true,
                    build: build.state,
                    latest: 0,
                }));
            }
        }
        changes.changed().await;
    }
}
