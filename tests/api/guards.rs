//! What every request passes before it is heard, and what every answer says to browsers.

use std::net::SocketAddr;

use axum::body::Body;
use http::{HeaderValue, Method, StatusCode};
use slipway::api::{ApiOptions, ListenerOptions, Rates, serve};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::harness::{Harness, address, request, wanted};

const BUILDS: &str = "/api/v1/builds";
const PAGE: &str = "https://ci.example";

async fn with(database: &PgConnectOptions, rates: Rates) -> Harness {
    let options = ApiOptions {
        rates,
        cors_origins: vec![HeaderValue::from_static(PAGE)],
        ..ApiOptions::default()
    };
    Harness::with(&address(database), options).await
}

/// The service behind a real listener, which knows whom it speaks to.
async fn listening(service: &Harness) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let app = service.app.clone();
    tokio::spawn(serve(
        listener,
        app,
        ListenerOptions::default(),
        soft,
        hard.clone(),
    ));
    (address, hard.drop_guard())
}

/// How many of 15 requests at once are heard that say they speak for this address; the last answer.
async fn heard(address: SocketAddr, path: &str, speaks_for: &str) -> (usize, reqwest::Response) {
    crate::support::process::install_crypto_provider();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut heard, mut last) = (0, None);
    for _ in 0..15 {
        let answer = client
            .get(format!("http://{address}{path}"))
            .header("x-forwarded-for", speaks_for)
            .send()
            .await
            .unwrap();
        heard += usize::from(answer.status() == StatusCode::OK);
        last = Some(answer);
    }
    (heard, last.unwrap())
}

fn one_a_second(trusted: &str) -> Rates {
    Rates {
        per_address: 1,
        per_token: 0,
        trusted_proxies: vec![trusted.parse().unwrap()],
    }
}

#[sqlx::test(migrations = false)]
async fn who_asks_too_often_is_told_when_to_come_back(_: PgPoolOptions, database: PgConnectOptions) {
    let service = with(&database, one_a_second("192.0.2.0/24")).await;
    let (address, _running) = listening(&service).await;
    let (some, last) = heard(address, BUILDS, "203.0.113.1").await;
    // One more for each second that it took.
    assert!((10..15).contains(&some), "{some} were heard");
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(last.headers()["content-type"], "application/problem+json");
    let wait: u64 = last.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let problem: serde_json::Value = serde_json::from_slice(&last.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "rate_limited");
    // Whom it says it speaks for does not count; and who looks after the service is always answered.
    let (none, _) = heard(address, BUILDS, "203.0.113.2").await;
    assert!(none < 5, "{none} were heard");
    assert_eq!(heard(address, "/livez", "203.0.113.1").await.0, 15);
    assert_eq!(heard(address, "/metrics", "203.0.113.1").await.0, 15);
    let (none, _) = heard(address, "/nothing", "").await;
    assert_eq!(none, 0);
}

#[sqlx::test(migrations = false)]
async fn behind_a_trusted_proxy_each_client_has_its_own_allowance(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = with(&database, one_a_second("127.0.0.0/8")).await;
    let (address, _running) = listening(&service).await;
    for client in ["203.0.113.1", "9.9.9.9, 203.0.113.2", "2001:db8::1"] {
        let (some, _) = heard(address, BUILDS, client).await;
        assert!((10..15).contains(&some), "{client}: {some} were heard");
    }
    let (none, _) = heard(address, BUILDS, "2001:db8::2").await;
    assert!(none < 5, "of one /64: {none} were heard");
}

#[sqlx::test(migrations = false)]
async fn a_token_has_its_own_allowance(_: PgPoolOptions, database: PgConnectOptions) {
    let rates = Rates {
        per_token: 1,
        ..Rates::default()
    };
    let service = with(&database, rates).await;
    let mut heard = 0;
    for _ in 0..20 {
        let answer = service
            .get_with(BUILDS, &[("authorization", "Bearer one"), ("origin", PAGE)])
            .await;
        if answer.status == StatusCode::OK {
            heard += 1;
        } else {
            answer.is_problem(429, "rate_limited");
            assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        }
    }
    assert!((10..20).contains(&heard), "{heard} were heard");
    let other = service.get_with(BUILDS, &[("authorization", "Bearer two")]).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(service.get(BUILDS).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn pages_of_listed_origins_may_ask_and_no_others(_: PgPoolOptions, database: PgConnectOptions) {
    let service = with(&database, Rates::default()).await;
    let asks_first = async |origin: &str| {
        let preflight = request(Method::OPTIONS, BUILDS)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,idempotency-key",
            );
        service.send(preflight.body(Body::empty()).unwrap()).await
    };
    let allowed = asks_first(PAGE).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(PAGE));
    let sent = allowed.header("access-control-allow-headers").unwrap();
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(sent.contains(name), "{name}: {sent}");
    }
    for origin in [
        "https://evil.example",
        "https://ci.example.evil.example",
        "http://ci.example",
        "https://ci.example:444",
        "null",
    ] {
        let refused = asks_first(origin).await;
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        let answer = service.get_with(BUILDS, &[("origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    let answer = service.get_with(BUILDS, &[("origin", PAGE)]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let read = answer.header("access-control-expose-headers").unwrap();
    assert!(
        read.contains("x-request-id") && read.contains("retry-after"),
        "{read}"
    );
}

#[sqlx::test(migrations = false)]
async fn of_itself_the_service_lets_no_other_origin_in(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let answer = service.get_with(BUILDS, &[("origin", PAGE)]).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let preflight = request(Method::OPTIONS, BUILDS).header("origin", PAGE);
    let refused = service.send(preflight.body(Body::empty()).unwrap()).await;
    refused.is_problem(405, "method_not_allowed");
}

#[sqlx::test(migrations = false)]
async fn browsers_make_no_more_of_an_answer_than_it_is(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let build = service.create(&wanted()).await;
    for (path, kept) in [
        (BUILDS.to_owned(), "no-store"),
        (format!("{BUILDS}/{build}/attempts"), "no-store"),
        (format!("{BUILDS}/{build}/nothing"), "no-cache"),
        (format!("{BUILDS}/{build}"), "private, no-cache"),
        ("/openapi.json".to_owned(), "no-cache"),
        ("/livez".to_owned(), "no-cache"),
        ("/docs/".to_owned(), "no-cache"),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(answer.header("cache-control"), Some(kept), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        let own = if path == "/docs/" { "'self'" } else { "'none'" };
        assert!(
            policy.starts_with(&format!("default-src {own}")),
            "{path}: {policy}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn the_documentation_needs_no_more_than_its_policy_allows(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let service = Harness::new(&database).await;
    let page = service.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    let html = page.text();
    let scripts: Vec<&str> = html.split("<script").skip(1).collect();
    assert!(!scripts.is_empty(), "{html}");
    for script in scripts {
        let (attributes, rest) = script.split_once('>').expect("a tag ends");
        assert!(
            attributes.contains("src=\"./"),
            "of its own files only: {attributes}"
        );
        assert_eq!(rest.split("</script>").next().map(str::trim), Some(""), "inline");
    }
    let address = |file: &str| format!("/docs/{file}");
    let initializer = service.get(&address("swagger-initializer.js")).await;
    assert!(
        initializer.text().contains("/openapi.json"),
        "{}",
        initializer.text()
    );
    for file in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        assert_eq!(service.get(&address(file)).await.status, StatusCode::OK, "{file}");
    }
}
