//! What the service asks of the API server: all its calls pass through here, with its own token, and are noted.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{Method, StatusCode};
use kube::Client;

use crate::support::cluster;

/// What may be done, and with what: (`list`, `pods`).
pub type Right = (String, String);

/// The calls that were made.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    made: BTreeSet<Right>,
    refused: BTreeSet<Right>,
}

impl Recorder {
    /// Begins, in this test's runtime: where the service finds the API server from now on.
    pub async fn start() -> (Self, String) {
        let mut config = cluster::config().await;
        // Whoever asks has a token of its own.
        config.auth_info = kube::config::AuthInfo::default();
        config.default_retry = false;
        // A watch may say nothing for long.
        config.read_timeout = None;
        let client = Client::try_from(config).expect("the kubeconfig is usable");
        let recorder = Self::default();
        let router = Router::new()
            .fallback(pass_on)
            .with_state((recorder.clone(), client));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (recorder, format!("http://{address}"))
    }

    /// All rights that were made use of.
    pub fn made(&self) -> BTreeSet<Right> {
        self.0.lock().expect("nobody panics while noting").made.clone()
    }

    /// All rights that were missing.
    pub fn refused(&self) -> BTreeSet<Right> {
        self.0.lock().expect("nobody panics while noting").refused.clone()
    }

    fn note(&self, right: Right, status: StatusCode) {
        let mut calls = self.0.lock().expect("nobody panics while noting");
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            calls.refused.insert(right.clone());
        }
        calls.made.insert(right);
    }
}

async fn pass_on(State((recorder, client)): State<(Recorder, Client)>, request: Request) -> Response {
    let right = right(&request);
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(http::header::HOST);
    let body = to_bytes(body, usize::MAX)
        .await
        .expect("the service sends whole requests");
    let request = http::Request::from_parts(parts, body.into());
    match client.send(request).await {
        Ok(answer) => {
            recorder.note(right, answer.status());
            answer.map(Body::new)
        }
        Err(error) => {
            let mut answer = Response::new(Body::from(error.to_string()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}

/// The verb and the resource of a request, as RBAC names them.
fn right(request: &Request) -> Right {
    let path = request.uri().path();
    let Some((_, rest)) = path.split_once("/namespaces/") else {
        return (request.method().to_string(), path.to_owned());
    };
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    let (kind, name) = (parts.first().copied().unwrap_or_default(), parts.get(1));
    let resource = parts
        .get(2)
        .map_or_else(|| kind.to_owned(), |part| format!("{kind}/{part}"));
    let watches = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match (request.method(), name) {
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) if watches => "watch",
        (&Method::GET, None) => "list",
        (&Method::POST, _) => "create",
        (&Method::PATCH, _) => "patch",
        (&Method::PUT, _) => "update",
        (&Method::DELETE, Some(_)) => "delete",
        (&Method::DELETE, None) => "deletecollection",
        _ => "unknown",
    };
    (verb.to_owned(), resource)
}
