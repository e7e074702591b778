//! Requests' paths, queries, headers and bodies, through the whole router: there is no database behind it, so that
//! what can be understood is answered 503, and what cannot is the client's fault. Nothing is ever a fault of ours.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use serde_json::Value;
use slipway::{
    api::{self, ApiOptions, ApiState, HealthState, Rates, Readiness},
    blobs::Blobs,
    store::{Store, StoreOptions},
};
use tower::ServiceExt;

use crate::{
    fuzz::Verdict,
    fuzz::fuzz,
    fuzz::mutation::{mutated, mutated_text},
};

struct Service {
    runtime: tokio::runtime::Runtime,
    app: Router,
    _folder: tempfile::TempDir,
}

impl Service {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let store = Store::connect(&StoreOptions {
            // Nobody listens on the discard port.
            url: "postgres://nobody@127.0.0.1:9/none".into(),
            direct_url: None,
            max_connections: 1,
            acquire_timeout: Duration::from_millis(1),
            notify: false,
        })
        .unwrap();
        let (creator, batcher) = store.creator(8);
        runtime.spawn(batcher);
        let folder = tempfile::tempdir().unwrap();
        let contexts = Blobs::from_url(folder.path().to_str().unwrap()).unwrap();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let health = HealthState::new(store, Readiness::default(), metrics);
        let options = ApiOptions {
            rates: Rates {
                per_token: 1_000_000,
                ..Rates::default()
            },
            ..ApiOptions::default()
        };
        let app = api::router(ApiState::new(health, creator, contexts, options));
        Self {
            runtime,
            app,
            _folder: folder,
        }
    }

    /// The answer is one that the description knows.
    fn ask(&self, request: Request<Body>, path: &str) -> Verdict {
        let app = self.app.clone();
        let (status, body) = self.runtime.block_on(async {
            let answer = app.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.into_body().collect().await.unwrap().to_bytes())
        });
        prop_assert!(
            matches!(status, 400 | 401 | 404 | 405 | 413 | 415 | 422 | 503),
            "{} {}",
            status,
            path
        );
        let problem: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&problem["status"], status);
        let code = problem["code"].as_str().unwrap();
        prop_assert!(
            status != 503 || code == "database_unavailable",
            "{} {}",
            code,
            path
        );
        Ok(())
    }
}

fn paths() -> Vec<Vec<u8>> {
    [
        "/api/v1/builds?limit=10&state=queued&ref=main&project=default&repository=registry.example/a",
        "/api/v1/builds?cursor=AZC1on8QfMCPfgEjRWeJqw&created_from=2026-01-01T00:00:00Z",
        "/api/v1/builds/0190b5a2-7f10-7cc0-8f7e-0123456789ab/logs?attempt=1&offset=5&tail=3&limit=10&follow=true",
        "/api/v1/builds/0190b5a2-7f10-7cc0-8f7e-0123456789ab/events?after=7",
        "/api/v1/builds/0190b5a2-7f10-7cc0-8f7e-0123456789ab",
        "/api/v1/events?project=default&after=AAAAAAAAAAEAAAAAAAAAAg&limit=5",
        "/api/v1/queue?project=default",
        "/api/v1/contexts/0190b5a2-7f10-7cc0-8f7e-0123456789ab/content",
    ]
    .map(|path| path.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn queries_and_cursors() {
    let service = Service::new();
    fuzz("paths, queries and cursors", &mutated(paths()), |path| {
        let text = String::from_utf8_lossy(&path).into_owned();
        // Beside the API's routes there are those that are always answered, and the documentation.
        if !text.starts_with("/api/") {
            return Ok(());
        }
        match Request::builder().uri(path.as_slice()).body(Body::empty()) {
            Ok(request) => service.ask(request, &text),
            Err(_) => Ok(()),
        }
    });
}

#[test]
fn headers() {
    let service = Service::new();
    let names = [
        "prefer",
        "if-none-match",
        "last-event-id",
        "idempotency-key",
        "authorization",
        "x-request-id",
        "traceparent",
        "accept",
        "x-forwarded-for",
        "content-length",
        "expect",
    ];
    let values = mutated_text(&[
        "wait=10",
        "respond-async, wait=\"5\"; x=y",
        "W/\"0123456789abcdef\", \"x\"",
        "21",
        "AAAAAAAAAAEAAAAAAAAAAg",
        "Bearer slipctx_0123456789",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "text/event-stream;q=0.5, */*",
        "203.0.113.1, [2001:db8::1]:1",
        "100-continue",
    ]);
    let wanted = serde_json::json!({
        "source": {"git": {"url": "https://git.example/a.git"}}, "destinations": ["registry.example/a:1"],
    });
    let id = "0190b5a2-7f10-7cc0-8f7e-0123456789ab";
    let pairs = proptest::collection::vec((proptest::sample::select(names.to_vec()), values), 1..5);
    fuzz("headers", &pairs, |pairs| {
        for (method, path, body) in [
            (Method::GET, format!("/api/v1/builds/{id}"), String::new()),
            (
                Method::GET,
                format!("/api/v1/builds/{id}/logs?follow=true"),
                String::new(),
            ),
            (
                Method::GET,
                "/api/v1/events?project=default".to_owned(),
                String::new(),
            ),
            (Method::POST, "/api/v1/builds".to_owned(), wanted.to_string()),
        ] {
            let mut request = Request::builder()
                .method(method)
                .uri(&path)
                .header("content-type", "application/json");
            for (name, value) in &pairs {
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    request = request.header(*name, value);
                }
            }
            service.ask(request.body(Body::from(body)).unwrap(), &path)?;
        }
        Ok(())
    });
}
