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
        builds::read::existing,
        problem::{Code, Problem},
    },
    domain::BuildId,
    store::LogSlice,
};

pub(super) async fn answer(
    state: &ApiState,
    id: BuildId,
    wanted: &Wanted,
    limit: u32,
) -> Result<Response, Problem> {
    let Some(attempt) = wanted.attempt(state, id).await? else {
        let none = not_begun(state, id, wanted.offset_of_none()).await?;
        return Ok(write(0, none));
    };
    let offset = wanted.offset(state, id, attempt).await?;
    let slice = state.store.log(id, attempt, offset, limit).await?;
    slice
        .map(|slice| write(attempt, slice))
        .ok_or_else(|| Problem::new(Code::NotFound))
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

fn write(attempt: u32, slice: LogSlice) -> Response {
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
