//! The logs of a build as text that goes on until the build has ended: for `curl -N`.

use axum::response::Response;
use bytes::Bytes;

use super::{
    events::first_attempt,
    hub::{Hubs, Next},
    start::Wanted,
};
use crate::{
    api::{
        ApiState,
        auth::Session,
        log_reader::LogReader,
        problem::Problem,
        streams::{Gone, Out},
    },
    domain::BuildId,
};

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
    let place = state.streams.open("log_text", session)?;
    Ok(place.text(move |out| async move {
        let attempt = match attempt {
            Some(attempt) => attempt,
            None => match first_attempt(logs.store(), id).await {
                Ok(attempt) => attempt,
                Err(_) => return Ok(()),
            },
        };
        write(&out, &logs, &hubs, (id, attempt, offset)).await
    }))
}

/// Writes one attempt's log after the other.
async fn write(
    out: &Out,
    logs: &LogReader,
    hubs: &Hubs,
    (id, mut attempt, offset): (BuildId, u32, u64),
) -> Result<(), Gone> {
    let mut follower = hubs.follow(logs, id, attempt, offset);
    let mut at_line_start = true;
    loop {
        match follower.next().await {
            Next::Piece(piece) => {
                at_line_start = piece.bytes.ends_with(b"\n");
                out.send(piece.bytes).await?;
            }
            Next::End { seen, .. } if seen.is_some_and(|seen| seen.latest > attempt) => {
                attempt += 1;
                let newline = if at_line_start { "" } else { "\n" };
                let title = format!("{newline}[slipway: attempt {attempt}]\n");
                out.send(Bytes::from(title)).await?;
                at_line_start = true;
                follower = hubs.follow(logs, id, attempt, 0);
            }
            Next::End { .. } => return Ok(()),
        }
    }
}
