//! What git hosts deliver, and what comes of it.

mod copies;
mod pushes;
mod refusals;

use axum::body::Body;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    api::harness::{Answer, Harness, request},
    api::triggers::TRIGGERS,
};

pub const SECRET: &str = "It's-a-Secret-to-Everybody";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NONE: &str = "0000000000000000000000000000000000000000";

/// What GitHub sends of a push, as far as it is read.
pub fn github_push(full: &str, after: &str) -> Value {
    json!({
        "ref": full, "before": NONE, "after": after, "deleted": after == NONE,
        "head_commit": (after != NONE).then(|| json!({"id": after, "message": "Mend it"})),
        "repository": {"full_name": "team/app", "clone_url": "https://git.example/team/app.git"},
    })
}

pub fn hex_hmac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Sends bytes to an address as they are.
async fn send(service: &Harness, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = request(Method::POST, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(request.body(body.into()).unwrap()).await
}

/// Delivers as GitHub does, signed.
async fn deliver_event(
    service: &Harness,
    trigger: &str,
    secret: &str,
    event: &str,
    delivery: &str,
    body: &Value,
) -> Answer {
    let body = body.to_string();
    let signature = format!("sha256={}", hex_hmac(secret, body.as_bytes()));
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", event),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", &signature),
    ];
    send(service, &format!("/hooks/{trigger}"), &headers, body).await
}

/// Delivers a push as GitHub does, signed.
pub async fn deliver(service: &Harness, trigger: &str, secret: &str, delivery: &str, body: &Value) -> Answer {
    deliver_event(service, trigger, secret, "push", delivery, body).await
}

async fn deliveries(service: &Harness, trigger: &str) -> Vec<Value> {
    let listed = service
        .get(&format!("{TRIGGERS}/{trigger}/deliveries?limit=100"))
        .await;
    listed.json()["deliveries"].as_array().unwrap().clone()
}

async fn builds(service: &Harness) -> Vec<Value> {
    let listed = service.get("/api/v1/builds?limit=100").await;
    listed.json()["builds"].as_array().unwrap().clone()
}
