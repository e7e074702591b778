//! Postgres away: said so, and over when it is over.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use slipway::{api::ApiOptions, domain::BuildId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    api::cut::Cut,
    api::harness::{Harness, address, server, wanted},
};

#[sqlx::test(migrations = false)]
async fn an_outage_is_answered_503_and_recovered_from(_: PgPoolOptions, database: PgConnectOptions) {
    let host = server().host_str().expect("the server has a host");
    let way = Cut::before(format!("{host}:{}", server().port().unwrap_or(5432))).await;
    let mut url: url::Url = address(&database).parse().expect("it is an address");
    url.set_host(Some("127.0.0.1")).expect("it can have one");
    url.set_port(Some(way.address.port())).expect("it can have one");
    let service = Harness::with(url.as_str(), ApiOptions::default()).await;
    let id = service.create(&wanted()).await;

    way.cut();
    let build = format!("/api/v1/builds/{id}");
    for path in [
        build.clone(),
        "/api/v1/builds".into(),
        format!("{build}/logs"),
        format!("{build}/events"),
    ] {
        let away = service.get(&path).await;
        let problem = away.is_problem(503, "database_unavailable");
        assert_eq!(away.header("retry-after"), Some("5"));
        assert!(
            problem.get("detail").is_none(),
            "nothing of the inside is shown: {problem}"
        );
    }
    service
        .post("/api/v1/builds", &wanted())
        .await
        .is_problem(503, "database_unavailable");
    service
        .post(&format!("{build}/cancel"), &Value::Null)
        .await
        .is_problem(503, "database_unavailable");
    let unready = service.get("/readyz").await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready.json()["checks"][0]["status"], "failed");
    assert_eq!(service.get("/livez").await.status, StatusCode::OK);
    assert_eq!(service.get("/metrics").await.status, StatusCode::OK);

    way.mend();
    let recovered = tokio::time::timeout(Duration::from_secs(20), async {
        // Connections that were cut are found out one by one, by their use.
        while service.post("/api/v1/builds", &wanted()).await.status != StatusCode::CREATED {}
        while service.get(&build).await.status != StatusCode::OK {}
    });
    recovered.await.expect("it recovers by itself");
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn a_fault_of_ours_shows_nothing_of_the_inside(_: PgPoolOptions, database: PgConnectOptions) {
    // Without its tables every query fails.
    let service = Harness::unmigrated(&address(&database), ApiOptions::default());
    let failed = service
        .get(&format!("/api/v1/builds/{}", BuildId::generate()))
        .await;
    let problem = failed.is_problem(500, "internal");
    assert!(!problem.to_string().contains("relation"), "{problem}");
    assert!(problem.get("detail").is_none());
}
