//! A service of its own for each test.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use slipway::{
    api::{self, ApiOptions, ApiState, Condition, HealthState, Readiness},
    blobs::{Blobs, LogArchive},
    domain::{BuildId, keyring::Keyring},
    store::{Slots, Store, StoreOptions},
};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;

/// A service over a database of its own.
pub struct Harness {
    pub app: Router,
    pub store: Store,
    pub folder: TempDir,
    pub launcher: watch::Sender<Condition>,
}

/// Who is let in, and whether secrets can be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
    Open,
    ByTokens,
    Keyless,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Harness {
    pub async fn new(database: &PgConnectOptions) -> Self {
        Self::with(&address(database), ApiOptions::default()).await
    }

    /// One that asks for tokens.
    pub async fn guarded(database: &PgConnectOptions) -> Self {
        let harness = Self::built(&address(database), ApiOptions::default(), Guarded::ByTokens);
        harness.store.migrate().await.expect("the migrations apply");
        harness
    }

    /// One whose operator has set no key for secrets.
    pub async fn without_key(database: &PgConnectOptions) -> Self {
        let harness = Self::built(&address(database), ApiOptions::default(), Guarded::Keyless);
        harness.store.migrate().await.expect("the migrations apply");
        harness
    }

    /// Another replica of the same service, whose operator lets projects push anywhere.
    pub async fn lenient(database: &PgConnectOptions) -> Self {
        let options = ApiOptions {
            allow_any_destination: true,
            ..ApiOptions::default()
        };
        Self::built(&address(database), options, Guarded::ByTokens)
    }

    /// Another replica of the same service.
    pub async fn replica(database: &PgConnectOptions) -> Self {
        Self::built(&address(database), ApiOptions::default(), Guarded::ByTokens)
    }

    pub async fn with(url: &str, options: ApiOptions) -> Self {
        let harness = Self::unmigrated(url, options);
        harness.store.migrate().await.expect("the migrations apply");
        harness
    }

    /// The service before anybody prepared the database, or while there is none.
    pub fn unmigrated(url: &str, options: ApiOptions) -> Self {
        Self::built(url, options, Guarded::Open)
    }

    fn built(url: &str, options: ApiOptions, guarded: Guarded) -> Self {
        let store = Store::connect(&StoreOptions {
            url: url.to_owned().into(),
            direct_url: None,
            max_connections: 4,
            acquire_timeout: Duration::from_secs(2),
            notify: false,
        })
        .expect("the address is valid");
        let (creator, batcher) = store.creator(64);
        tokio::spawn(batcher);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let contexts = storage(folder.path());
        let archive = LogArchive::new(storage(&folder.path().join("archive")));
        let (launcher, seen) = watch::channel(Condition::Ready);
        let readiness = Readiness::default().with("launcher", seen);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let health = HealthState::new(store.clone(), readiness, metrics);
        let mut state = ApiState::new(health, creator, contexts, options)
            .with_log_archive(Some(archive))
            .with_keyring((guarded != Guarded::Keyless).then(|| keyring(KEY)));
        if guarded != Guarded::ByTokens {
            state = state.without_authentication();
        }
        let app = api::router(state);
        Self {
            app,
            store,
            folder,
            launcher,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .app
            .clone()
            .oneshot(request)
            .await
            .expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .expect("the answer is whole")
            .to_bytes()
            .to_vec();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        answer.is_well_formed();
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = request(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("the request is valid"))
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        let request = request(Method::PATCH, path).header(header::CONTENT_TYPE, "application/json");
        self.send(
            request
                .body(Body::from(body.to_string()))
                .expect("the request is valid"),
        )
        .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        let request = request(Method::DELETE, path);
        self.send(request.body(Body::empty()).expect("the request is valid"))
            .await
    }

    pub async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(
            request
                .body(Body::from(body.to_string()))
                .expect("the request is valid"),
        )
        .await
    }

    /// Creates a build and answers its id.
    pub async fn create(&self, body: &Value) -> BuildId {
        let created = self.post("/api/v1/builds", body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        created.json()["id"]
            .as_str()
            .expect("it has an id")
            .parse()
            .expect("the id is one")
    }

    /// Lets a build's Job be made.
    pub async fn launch(&self, id: BuildId) {
        let slots = Slots {
            total: 100,
            per_project: 100,
        };
        let claims = self
            .store
            .claim(slots, Duration::from_secs(60), 100)
            .await
            .expect("claims work");
        let claim = claims
            .into_iter()
            .find(|claim| claim.id == id)
            .expect("the build is claimed");
        let launched = self
            .store
            .launched(id, claim.token, "uid-1")
            .await
            .expect("it can be recorded");
        assert!(launched);
    }
}

/// What the services of these tests seal secrets with.
const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn keyring(keys: &str) -> Arc<Keyring> {
    let keys = Keyring::from_settings(&keys.to_owned().into());
    Arc::new(keys.expect("it is a key"))
}

/// The storage in a folder.
pub fn storage(folder: &std::path::Path) -> Blobs {
    Blobs::from_url(folder.to_str().expect("the path is text")).expect("it can be used")
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("headers are text"))
    }

    /// The answer is this problem.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }

    /// What holds for every answer whatever happened.
    fn is_well_formed(&self) {
        let id = self
            .header("x-request-id")
            .expect("every answer has a request id");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        if self.status.is_client_error() || self.status.is_server_error() {
            if self.status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(self.header("retry-after").is_some(), "{self:?}");
            }
            if self.header("content-type") == Some("application/json") {
                return; // /readyz says more than a problem could.
            }
            assert_eq!(
                self.header("content-type"),
                Some("application/problem+json"),
                "{self:?}"
            );
            let problem = self.json();
            assert_eq!(problem["status"], self.status.as_u16());
            assert_eq!(problem["request_id"], id);
            assert!(
                problem["type"]
                    .as_str()
                    .is_some_and(|kind| kind.starts_with("urn:slipway:problem:"))
            );
        }
    }
}

pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// A small request that nothing is wrong with.
pub fn wanted() -> Value {
    json!({
        "source": {"git": {"url": "https://git.example/team/app.git", "ref": "main"}},
        "destinations": ["registry.example/team/app:1"],
    })
}

/// Puts words in the place of what is new in every run.
pub fn settled(mut value: Value) -> Value {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match (name.as_str(), &*field) {
                        (
                            "id" | "build_id" | "rebuild_of" | "context_id" | "request_id",
                            Value::String(_),
                        ) => *field = json!("[id]"),
                        ("id", Value::Number(_)) => *field = json!("[number]"),
                        (name, Value::String(_)) if name == "at" || name.ends_with("_at") => {
                            *field = json!("[time]")
                        }
                        _ => settle(field),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(settle),
            _ => {}
        }
    }
    settle(&mut value);
    value
}

/// The test's database as the service's setting has it.
pub fn address(database: &PgConnectOptions) -> String {
    let name = database.get_database().expect("every test has a database");
    let mut url = server().clone();
    url.set_path(name);
    url.into()
}

/// The server that the tests run on.
pub fn server() -> &'static url::Url {
    static SERVER: OnceLock<url::Url> = OnceLock::new();
    SERVER.get_or_init(|| {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a server for the tests");
        url.parse().expect("DATABASE_URL is an address")
    })
}
