//! The logs of a build, as text by offset.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};

use super::read::existing;
use crate::{
    api::{
        ApiState,
        extract::PathId,
        problem::{Code, Problem, ProblemBody},
        query::Query,
    },
    domain::BuildId,
    store::LogSlice,
};

/// The most that one answer holds.
const MAX_BYTES: u64 = 4 << 20;
/// What an answer holds unless the client says otherwise.
const DEFAULT_BYTES: u64 = 1 << 20;

/// Read a stretch of an attempt's log.
///
/// The bytes are the container's own: colours and broken characters included. Where `Slipway-Log-Complete` is
/// `false`, more may come: ask again from `Slipway-Log-Offset` plus the bytes received. Past the end the answer is
/// empty.
#[utoipa::path(
    get,
    path = "/api/v1/builds/{id}/logs",
    operation_id = "read_log",
    tag = "builds",
    params(
        ("id" = BuildId, Path, description = "The build"),
        ("attempt" = Option<u32>, Query, minimum = 1, description = "Counted from 1; the latest when absent"),
        ("offset" = Option<u64>, Query, minimum = 0, description = "The first byte to answer; 0 when absent"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 4_194_304,
            description = "The most bytes to answer; 1 MiB when absent"),
    ),
    responses(
        (status = 200, description = "The log's bytes", body = String, content_type = "text/plain; charset=utf-8",
            headers(
                ("Slipway-Log-Attempt" = u32, description = "Which attempt's log it is; 0 when there is none yet"),
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
    PathId(id): PathId<BuildId>,
    mut query: Query,
) -> Result<Response, Problem> {
    // Numbers are the database's integers: what lies above is beyond every log.
    let attempt = query.number("attempt", 1, i32::MAX as u64, 0)?;
    let offset = query.number("offset", 0, i64::MAX as u64, 0)?;
    let limit = query.number("limit", 1, MAX_BYTES, DEFAULT_BYTES)?;
    query.finish()?;
    let limit = u32::try_from(limit).expect("the limit is at most 4 MiB");
    let attempt = match u32::try_from(attempt).expect("attempts are the database's integers") {
        0 => latest(&state, id).await?,
        given => Some(given),
    };
    let Some(attempt) = attempt else {
        return Ok(answer(0, not_begun(&state, id, offset).await?));
    };
    let slice = state.logs.slice(id, attempt, offset, limit).await?;
    slice
        .map(|slice| answer(attempt, slice))
        .ok_or_else(|| Problem::new(Code::NotFound))
}

/// The number of the latest attempt, if there is one.
async fn latest(state: &ApiState, id: BuildId) -> Result<Option<u32>, Problem> {
    let attempts = state.store.attempts(id).await?;
    Ok(attempts.last().map(|attempt| attempt.number))
}

/// The log of a build without attempts: empty, and for ever so if the build has ended.
async fn not_begun(state: &ApiState, id: BuildId, offset: u64) -> Result<LogSlice, Problem> {
    let build = existing(state, id).await?;
    Ok(LogSlice {
        offset,
        bytes: Vec::new(),
        total: 0,
        complete: build.state.is_terminal(),
    })
}

fn answer(attempt: u32, slice: LogSlice) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (HeaderName::from_static("slipway-log-attempt"), attempt.into()),
        (HeaderName::from_static("slipway-log-offset"), slice.offset.into()),
        (HeaderName::from_static("slipway-log-total"), slice.total.into()),
        (
            HeaderName::from_static("slipway-log-complete"),
            HeaderValue::from_static(if slice.complete { "true" } else { "false" }),
        ),
    ];
    (headers, Body::from(slice.bytes)).into_response()
}
