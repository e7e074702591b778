//! A server that is told, remembers it, and answers as the test wants.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Semaphore};

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .expect("text")
    }

    /// What it tells of.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }
}

type Answers = Box<dyn Fn(usize) -> (u16, Vec<(&'static str, String)>, String) + Send>;

#[derive(Clone)]
struct Shared {
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<Answers>>,
    /// A permit for each answer; plenty unless the test holds answers back.
    gate: Arc<Semaphore>,
}

pub struct Receiver {
    pub url: String,
    shared: Shared,
}

impl Receiver {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Shared {
            heard: Arc::default(),
            answers: Arc::new(Mutex::new(Box::new(|_| (204, Vec::new(), String::new())))),
            gate: Arc::new(Semaphore::new(1 << 20)),
        };
        let app = Router::new().fallback(hear).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://{address}"),
            shared,
        }
    }

    /// What arrived so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().expect("no test panics here").clone()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.heard().iter().map(Heard::kind).collect()
    }

    /// Answers from now on by the number of the request, counted from 0.
    pub fn answers(
        &self,
        answer: impl Fn(usize) -> (u16, Vec<(&'static str, String)>, String) + Send + 'static,
    ) {
        *self.shared.answers.lock().expect("no test panics here") = Box::new(answer);
    }

    pub fn answers_with(&self, status: u16) {
        self.answers(move |_| (status, Vec::new(), format!("that makes {status}")));
    }

    /// Answers nothing from now on.
    pub fn holds_back(&self) {
        self.shared.gate.forget_permits(1 << 20);
    }

    /// Answers this many.
    pub fn lets_go(&self, answers: usize) {
        self.shared.gate.add_permits(answers);
    }
}

async fn hear(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let nth = {
        let mut heard = shared.heard.lock().expect("no test panics here");
        heard.push(Heard {
            path: uri.to_string(),
            headers,
            body: body.to_vec(),
        });
        heard.len() - 1
    };
    shared.gate.acquire().await.expect("it stays open").forget();
    let (status, extra, body) = (shared.answers.lock().expect("no test panics here"))(nth);
    let mut headers = HeaderMap::new();
    for (name, value) in extra {
        let value = HeaderValue::try_from(value).expect("a header");
        headers.insert(HeaderName::from_static(name), value);
    }
    (StatusCode::from_u16(status).expect("a status"), headers, body)
}
