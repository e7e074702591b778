//! The logs of a build: a stretch by offset or by lines, or followed as it grows, as text or as events.

mod events;
mod follow;
mod hub;
mod slice;
mod start;
mod tail;

use axum::{extract::State, response::Response};
use http::HeaderMap;

pub(in crate::api) use self::hub::Hubs;
use self::start::{How, Wanted};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::{Problem, ProblemBody},
        query::Query,
    },
    domain::{BuildId, Scope},
};

/// Read a log, or follow it.
///
/// The bytes are the container's own, colours and broken characters included, but for secrets, which are `***`, and for
/// lines and logs that are too long, which end in a note that says so.
///
/// Without `follow` this is a stretch of one attempt's log. Where `Slipway-Log-Complete` is `false`, more may come: ask
/// again from `Slipway-Log-Offset` plus the bytes received. Past the end the answer is empty.
///
/// With `follow=true` the text goes on until the build has ended, through all attempts from the one that it begins
/// with; each later one is announced by a line `[slipway: attempt 2]`.
///
/// With `Accept: text/event-stream` it is the log of one attempt as Server-Sent Events, from `offset`, `tail` or
/// `Last-Event-ID` on; whoever resumes names the attempt. `attempt` (`{"attempt":1}`) comes first. `log`
/// (`{"attempt":1,"offset":0,"text":"…"}`) is a piece that begins at that byte; its id is the byte after it, where to
/// resume. `end` (`{"attempt":1,"offset":42,"next_attempt":2,"build_state":"running"}`) is the last: the attempt's log
/// is whole, and `next_attempt` is the one to go on with, or null if the build has ended. A build that ended without an
/// attempt has an `end` with attempt 0.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/logs",
    operation_id = "read_log",
    tag = "builds",
    params(
        ("id" = BuildId, Path, description = "The build"),
        ("attempt" = Option<u32>, Query, minimum = 1, description = "Counted from 1; the latest when absent, or the \
            first to come"),
        ("offset" = Option<u64>, Query, minimum = 0, description = "The first byte to answer; 0 when absent"),
        ("tail" = Option<u32>, Query, minimum = 0, maximum = 100_000, description = "Begin with the last so many \
            lines instead, 1 MiB (or `limit`) before the end at the most"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 4_194_304,
            description = "The most bytes to answer; 1 MiB when absent. Not of a log that is followed"),
        ("follow" = Option<bool>, Query, description = "Whether the answer goes on until the build has ended"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Of the last event that the client has: it goes on there"),
    ),
    responses(
        (status = 200, description = "The log's bytes, or events",
            content(
                (String = "text/plain; charset=utf-8"),
                (String = "text/event-stream"),
            ),
            headers(
                ("Slipway-Log-Attempt" = u32, description = "Which attempt's log it is; 0 when there is none yet. \
                    These four not of a log that is followed"),
                ("Slipway-Log-Offset" = u64, description = "The byte that the answer begins at"),
                ("Slipway-Log-Total" = u64, description = "Bytes stored so far"),
                ("Slipway-Log-Complete" = bool, description = "Whether nothing will be added any more"),
            )),
        (status = 410, description = "The log was removed after its time: `log_removed`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn log(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<BuildId>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    state.may_with(&caller, Scope::BuildsRead, id).await?;
    let wanted = Wanted::read(&headers, query)?;
    match wanted.how {
        How::Once { limit } => slice::answer(&state, id, &wanted, limit).await,
        How::Text => follow::answer(&state, caller.session(), id, &wanted).await,
        How::Events => events::answer(&state, caller.session(), id, &wanted).await,
    }
}
