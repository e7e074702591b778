//! No request takes for ever.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::{Code, Problem};

/// Gives a request up that takes too long, whatever it waits for.
pub(super) async fn deadline(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| Problem::new(Code::TimedOut).into_response())
}
