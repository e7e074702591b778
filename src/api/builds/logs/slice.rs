//! A stretch of one attempt's log.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};

use super::start::Wanted;
use crate::{
    api::{
        ApiState,
        builds::read::found,
        problem::{Code, Problem},
    },
    domain::BuildId,
};

/// What is answered.
struct Slice {
    attempt: u32,
    offset: u64,
    total: u64,
    complete: bool,
    bytes: Vec<u8>,
}

pub(super) async fn answer(
    state: &ApiState,
    id: BuildId,
    wanted: &Wanted,
    limit: u32,
) -> Result<Response, Problem> {
    let Some(attempt) = wanted.attempt(state, id).await? else {
        let none = not_begun(state, id, wanted.offset_of_none()).await?;
        return Ok(write(none));
    };
    let offset = wanted.offset(state, id, attempt).await?;
    let read = state.logs.from(id, attempt, offset, limit).await?;
    let (log, bytes) = read.ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok(write(Slice {
        attempt,
        offset,
        total: log.total,
        complete: log.complete,
        bytes,
    }))
}

/// The log of a build without attempts: empty, and for ever so if the build has ended.
async fn not_begun(state: &ApiState, id: BuildId, offset: u64) -> Result<Slice, Problem> {
    let build = found(state, id).await?;
    Ok(Slice {
        attempt: 0,
        offset,
        bytes: Vec::new(),
        total: 0,
        complete: build.state.is_terminal(),
    })
}

fn write(slice: Slice) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (
            HeaderName::from_static("slipway-log-attempt"),
            slice.attempt.into(),
        ),
        (HeaderName::from_static("slipway-log-offset"), slice.offset.into()),
        (HeaderName::from_static("slipway-log-total"), slice.total.into()),
        (
            HeaderName::from_static("slipway-log-complete"),
            HeaderValue::from_static(if slice.complete { "true" } else { "false" }),
        ),
    ];
    (headers, Body::from(slice.bytes)).into_response()
}
