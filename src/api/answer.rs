//! What every request goes through on its way in, and every answer on its way out.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::{
    linger::linger,
    problem::{Code, Problem},
    request_id::{self, RequestId},
};

/// Routes that answer however busy the service is: whoever looks after it must not be shut out.
pub(super) const ALWAYS_ANSWERED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Answers show nothing in a frame and load nothing.
const NOTHING_LOADED: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Swagger UI loads its own files, and draws with inline styles and images.
const OWN_FILES_LOADED: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
);

/// How many requests are worked on at once.
#[derive(Debug, Clone)]
pub(super) struct InFlight(Arc<Semaphore>);

impl InFlight {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit)))
    }
}

/// A handler panicked; its message went to the log by itself.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked")]
struct Panicked;

/// Gives a request its id and its span, and makes sure of the answer: whatever happens inside, the client gets a
/// well-formed one, and what went wrong is logged, once.
pub(super) async fn answer(State(in_flight): State<InFlight>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        request.id = id.as_str(),
        trace.id = request_id::trace_id(request.headers()),
        http.method = %method,
        http.route = route
    );
    if let Some(credentials) = request.headers_mut().get_mut(header::AUTHORIZATION) {
        credentials.set_sensitive(true);
    }
    let permit = in_flight.0.try_acquire().ok();
    let response = if permit.is_some() || ALWAYS_ANSWERED.contains(&route) {
        run(linger(request), next).instrument(span.clone()).await
    } else {
        Problem::new(Code::Overloaded).into_response()
    };
    span.in_scope(|| {
        let response = finish(response, &id, route);
        record(&method, route, response.status(), started);
        response
    })
}

/// Runs the handler. One that panics takes nothing with it but its own request.
async fn run(request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Problem::new(Code::Internal).cause(Panicked).into_response())
}

/// Writes problems out, logs what the service is to blame for, and adds the headers that every answer has.
fn finish(mut response: Response, id: &RequestId, route: &str) -> Response {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let problem = response.extensions_mut().remove::<Problem>();
    // `/readyz` says what is the matter in words of its own.
    let kind = response.headers().get(header::CONTENT_TYPE);
    let unsaid = failed && kind.is_none_or(|kind| kind != "application/json");
    if let Some(problem) = problem.or_else(|| unsaid.then(|| Problem::of_status(status))) {
        log(&problem, status);
        *response.body_mut() = Body::from(problem.body(id.as_str()));
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
    }
    let headers = response.headers_mut();
    headers.insert(request_id::HEADER, id.header());
    guard(headers, route);
    response
}

/// What the client is to blame for is its own matter; an outage is told briefly; a fault of ours with all there is.
fn log(problem: &Problem, status: StatusCode) {
    let code = problem.code().as_str();
    match (status, problem.chain()) {
        (StatusCode::SERVICE_UNAVAILABLE, cause) => {
            tracing::warn!(code, cause, "the request was put off");
        }
        (status, cause) if status.is_server_error() => tracing::error!(code, cause, "the request failed"),
        _ => {}
    }
}

/// Keeps browsers from making more of an answer than it is.
fn guard(headers: &mut HeaderMap, route: &str) {
    let docs = route.starts_with("/docs");
    let policy = if docs { OWN_FILES_LOADED } else { NOTHING_LOADED };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let kept = match (route.starts_with("/api/"), headers.contains_key(header::ETAG)) {
        // Who has it may ask whether it is still so.
        (true, true) => "private, no-cache",
        (true, false) => "no-store",
        (false, _) => "no-cache",
    };
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(kept));
}

/// Counts and times the request, by the route's template: never by what the client wrote.
fn record(method: &Method, route: &str, status: StatusCode, started: Instant) {
    let took = started.elapsed();
    let method = known(method);
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    metrics::histogram!("slipway_http_request_duration_seconds", &labels).record(took.as_secs_f64());
    tracing::debug!(
        http.status = status.as_u16(),
        duration_ms = took.as_secs_f64() * 1e3,
        "the request was answered"
    );
}

/// A method's name for a label: clients may make up methods without end.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, middleware, routing::get};
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::api::deadline::deadline;

    async fn ask(router: Router) -> (StatusCode, HeaderMap, Value) {
        let request = Request::builder()
            .uri("/")
            .body(Body::empty())
            .expect("it is a request");
        let app = router.layer(middleware::from_fn_with_state(InFlight::new(1), answer));
        let (parts, body) = app
            .oneshot(request)
            .await
            .expect("a router always answers")
            .into_parts();
        let body = body.collect().await.expect("it is whole").to_bytes();
        (
            parts.status,
            parts.headers,
            serde_json::from_slice(&body).expect("it is JSON"),
        )
    }

    #[tokio::test]
    async fn a_panic_is_answered_for_and_kept_to_ourselves() {
        async fn clumsy() -> &'static str {
            panic!("the secret is 42")
        }
        let (status, headers, problem) = ask(Router::new().route("/", get(clumsy))).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(problem["code"], "internal");
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert_eq!(
            headers["x-request-id"],
            problem["request_id"].as_str().expect("it has one")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_given_up() {
        let limit = Duration::from_secs(30);
        let stuck = Router::new()
            .route("/", get(std::future::pending::<&'static str>))
            .layer(middleware::from_fn_with_state(limit, deadline));
        let (status, headers, problem) = ask(stuck).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["code"], "timed_out");
        assert!(headers.contains_key(header::RETRY_AFTER));
    }
}
