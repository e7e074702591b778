//! What operators look at.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::json;
use slipway::api::{ApiOptions, Condition};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::api::harness::{Harness, address, request, wanted};

#[sqlx::test(migrations = false)]
async fn readiness_follows_the_database_and_the_launcher(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::unmigrated(&address(&database), ApiOptions::default());
    let unprepared = service.get("/readyz").await;
    assert_eq!(unprepared.status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_json_snapshot!("unprepared", unprepared.json());
    service.store.migrate().await.unwrap();
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    insta::assert_json_snapshot!("ready", ready.json());
    service
        .launcher
        .send_replace(Condition::Degraded("the cluster does not answer".into()));
    let degraded = service.get("/readyz").await;
    assert_eq!(degraded.status, StatusCode::OK);
    insta::assert_json_snapshot!("degraded", degraded.json());
    assert_eq!(service.get("/livez").await.text(), "ok\n");
}

#[sqlx::test(migrations = false)]
async fn the_queue_is_measured_when_somebody_looks(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.create(&wanted()).await;
    service.launch(id).await;
    let metrics = service.get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    for line in [
        "slipway_builds{state=\"queued\"} 0",
        "slipway_builds{state=\"launching\"} 1",
        "slipway_builds{state=\"running\"} 1",
        "slipway_builds{state=\"cancelling\"} 0",
    ] {
        assert!(
            metrics.text().lines().any(|given| given == line),
            "{line}: {}",
            metrics.text()
        );
    }
}

#[sqlx::test(migrations = false)]
async fn the_documentation_comes_from_the_service_itself(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let description = service.get("/openapi.json").await;
    assert_eq!(description.json()["info"]["title"], json!("Slipway"));
    let moved = service.get("/docs").await;
    assert_eq!(moved.header("location"), Some("/docs/"));
    let page = service.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        !page.text().contains("http://") && !page.text().contains("https://"),
        "{}",
        page.text()
    );
    let policy = page
        .header("content-security-policy")
        .expect("it says what may be loaded");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'self'"));
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert_eq!(
            service.get(&format!("/docs/{file}")).await.status,
            StatusCode::OK,
            "{file}"
        );
    }
    service.get("/docs/nothing").await.is_problem(404, "not_found");
}

#[sqlx::test(migrations = false)]
async fn a_busy_service_says_so_but_shows_its_health(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_in_flight: 0,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let refused = service.post("/api/v1/builds", &wanted()).await;
    refused.is_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/livez", "/readyz", "/metrics"] {
        let request = request(Method::GET, path).body(Body::empty()).unwrap();
        assert_eq!(service.send(request).await.status, StatusCode::OK, "{path}");
    }
}
