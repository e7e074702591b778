//! HTTP: the REST API and what operators look at. The only axum of the service.

mod answer;
mod audit;
mod auth;
mod builds;
mod caller;
mod contexts;
mod cors;
mod deadline;
mod deliveries;
mod endpoints;
mod error;
mod events;
mod extract;
mod health;
mod hooks;
mod households;
mod linger;
mod listener;
mod log_reader;
mod openapi;
mod peer;
mod problem;
mod projects;
mod query;
mod queue;
mod quota;
mod rates;
mod request_id;
mod streams;
mod strict;
mod tokens;
mod triggers;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use http::HeaderValue;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use self::{
    health::{Condition, HealthState, Readiness},
    listener::{ListenerOptions, serve},
    rates::Rates,
};
use crate::{
    blobs::{Blobs, LogArchive},
    domain::{archive::Limits, inside::Reachable, keyring::Keyring},
    store::{Creator, Store},
};

/// What the API works with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    store: Store,
    creator: Creator,
    contexts: Blobs,
    logs: log_reader::LogReader,
    health: HealthState,
    /// What seals secrets; without it none can be stored.
    keyring: Option<Arc<Keyring>>,
    /// Where callbacks may go.
    reachable: Reachable,
    /// Who is let in; everybody when absent.
    auth: Option<auth::Auth>,
    options: Arc<ApiOptions>,
    uploads: Arc<Semaphore>,
    streams: streams::Streams,
    waits: streams::Streams,
    hubs: builds::Hubs,
    allowances: hooks::Allowances,
}

/// What the API takes.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// The largest context, compressed.
    pub max_context_size: u64,
    /// What a context may hold.
    pub archive_limits: Limits,
    /// Requests that are worked on at once; beyond, they are answered 503.
    pub max_in_flight: usize,
    /// Contexts that are uploaded at once; beyond, requests are answered 503.
    pub max_uploads: usize,
    /// Logs and events that are followed at once; beyond, requests are answered 503.
    pub max_streams: usize,
    /// The largest delivery to a trigger, in bytes.
    pub max_delivery_size: usize,
    /// Deliveries that one trigger takes in a minute; 0: any number.
    pub deliveries_per_minute: u32,
    /// Whether builds that projects' tokens ask for may be pushed anywhere where their projects settle nothing.
    pub allow_any_destination: bool,
    /// How long a request may take, uploads and downloads excepted.
    pub request_timeout: Duration,
    /// How long the client of an upload may be silent.
    pub upload_idle_timeout: Duration,
    /// How often clients may ask; beyond, requests are answered 429.
    pub rates: Rates,
    /// The origins whose pages may use the API from a browser.
    pub cors_origins: Vec<HeaderValue>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            max_context_size: 512 << 20,
            archive_limits: Limits::default(),
            max_in_flight: 2048,
            max_uploads: 16,
            max_streams: 2048,
            max_delivery_size: 2 << 20,
            deliveries_per_minute: 600,
            allow_any_destination: false,
            request_timeout: Duration::from_secs(30),
            upload_idle_timeout: Duration::from_secs(30),
            rates: Rates::default(),
            cors_origins: Vec::new(),
        }
    }
}

impl ApiState {
    /// The API over these parts.
    pub fn new(health: HealthState, creator: Creator, contexts: Blobs, options: ApiOptions) -> Self {
        Self {
            store: health.store().clone(),
            auth: Some(auth::Auth::new(health.store().clone())),
            creator,
            contexts,
            keyring: None,
            reachable: Reachable::default(),
            logs: log_reader::LogReader::new(health.store().clone()),
            uploads: Arc::new(Semaphore::new(options.max_uploads)),
            streams: streams::Streams::new(options.max_streams),
            // Those that wait are worked on meanwhile: half of what is worked on at once is left to the others.
            waits: streams::Streams::new(options.max_in_flight / 2),
            hubs: builds::Hubs::default(),
            allowances: hooks::Allowances::new(options.deliveries_per_minute),
            options: Arc::new(options),
            health,
        }
    }

    /// The same, with old logs in this archive.
    #[must_use]
    pub fn with_log_archive(mut self, archive: Option<LogArchive>) -> Self {
        self.logs = self.logs.with_archive(archive);
        self
    }

    /// The same, with what seals secrets.
    #[must_use]
    pub fn with_keyring(mut self, keyring: Option<Arc<Keyring>>) -> Self {
        self.keyring = keyring;
        self
    }

    /// The same, with callbacks that may go there.
    #[must_use]
    pub fn with_reachable(mut self, reachable: Reachable) -> Self {
        self.reachable = reachable;
        self
    }

    /// The same, open to everybody: for services that only their own machine reaches.
    #[must_use]
    pub fn without_authentication(mut self) -> Self {
        self.auth = None;
        self
    }

    /// The same, whose streams end at `stop`: of itself none would.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self {
            streams: self.streams.until(stop.clone()),
            waits: self.waits.until(stop),
            ..self
        }
    }
}

/// Everything: the REST API, its documentation, health and metrics.
pub fn router(state: ApiState) -> Router {
    let in_flight = answer::InFlight::new(state.options.max_in_flight);
    let health = Router::from(health::routes().with_state(state.health.clone()));
    let docs = SwaggerUi::new("/docs").url("/openapi.json", openapi());
    let options = Arc::clone(&state.options);
    let api = Router::from(api(options.request_timeout).with_state(state));
    finished(guarded(api.merge(health).merge(docs), &options), in_flight)
}

/// Health and metrics only, for a process that answers nothing else.
pub fn health_router(state: HealthState) -> Router {
    let in_flight = answer::InFlight::new(ApiOptions::default().max_in_flight);
    finished(Router::from(health::routes().with_state(state)), in_flight)
}

/// The description of everything that [`router`] answers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = openapi::base();
    description.merge(api(Duration::MAX).into_openapi());
    description.merge(health::routes().into_openapi());
    openapi::complete(description)
}

/// The REST API: each route together with its description.
fn api(request_timeout: Duration) -> OpenApiRouter<ApiState> {
    let within = |limit: Duration| middleware::from_fn_with_state(limit, deadline::deadline);
    builds::routes()
        .merge(contexts::routes())
        .merge(endpoints::routes())
        .merge(events::routes())
        .merge(queue::routes())
        .merge(triggers::routes())
        .merge(deliveries::routes())
        .merge(hooks::routes())
        .merge(projects::routes())
        .merge(tokens::routes())
        .merge(audit::routes())
        .layer(within(request_timeout))
        .merge(builds::waiting_routes().layer(within(request_timeout.saturating_add(builds::LONGEST_WAIT))))
        .merge(contexts::long_routes())
}

/// Keeps out who asks too often; what is refused can be read by the pages that may ask.
fn guarded(router: Router, options: &ApiOptions) -> Router {
    let allowance = rates::Allowance::new(&options.rates);
    let router = router.layer(middleware::from_fn_with_state(allowance, rates::limit));
    match cors::layer(&options.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

fn finished(router: Router, in_flight: answer::InFlight) -> Router {
    router.layer(middleware::from_fn_with_state(in_flight, answer::answer))
}
