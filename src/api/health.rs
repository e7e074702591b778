//! `/livez`, `/readyz` and `/metrics`: for those who look after the service.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    domain::{BuildId, State as BuildState},
    store::{PoolStatus, QueueDepth, Store, StoreError},
};

/// How long the database may take to answer before it counts as unavailable.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a part of the service stands, as told by whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nobody has looked yet.
    Unknown,
    /// All is well.
    Ready,
    /// It does not answer: builds wait. In words that everybody may read.
    Degraded(String),
}

/// The parts besides the database that the service's health depends on. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Vec<(&'static str, watch::Receiver<Condition>)>);

impl Readiness {
    /// Adds a part, such as `launcher`, under the name that `/readyz` shows.
    #[must_use]
    pub fn with(mut self, part: &'static str, condition: watch::Receiver<Condition>) -> Self {
        self.0.push((part, condition));
        self
    }
}

/// What health and metrics are read from. Cheap to clone.
#[derive(Clone)]
pub struct HealthState {
    store: Store,
    readiness: Readiness,
    metrics: PrometheusHandle,
}

impl HealthState {
    /// Health of the service over these parts.
    pub fn new(store: Store, readiness: Readiness, metrics: PrometheusHandle) -> Self {
        Self {
            store,
            readiness,
            metrics,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

/// The routes.
pub(super) fn routes() -> OpenApiRouter<HealthState> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}

/// How the service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// All is well.
    Ready,
    /// Requests are taken, but builds wait for something.
    Degraded,
    /// Requests cannot be taken now.
    Unavailable,
}

/// How a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CheckStatus {
    /// All is well.
    Ok,
    /// It is not as it must be.
    Failed,
    /// Nobody could look yet.
    Unknown,
}

/// One part of the service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
struct CheckBody {
    /// Which part: `database`, `migrations`, `launcher`.
    name: &'static str,
    /// How it stands.
    status: CheckStatus,
    /// What is the matter, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

/// Whether the service is ready, and all that this depends on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadinessBody {
    /// All in all.
    status: Verdict,
    /// Part by part.
    checks: Vec<CheckBody>,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "health",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the service can take requests.
///
/// Where only the launcher is away, requests are taken and builds wait: `degraded`, and still 200.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health",
    responses(
        (status = 200, description = "It can", body = ReadinessBody),
        (status = 503, description = "It cannot now", body = ReadinessBody),
    ))]
async fn readyz(State(state): State<HealthState>) -> Response {
    let [database, migrations] = database(&state.store).await;
    let reachable = database.status == CheckStatus::Ok && migrations.status == CheckStatus::Ok;
    let mut checks = vec![database, migrations];
    checks.extend(
        state
            .readiness
            .0
            .iter()
            .map(|(name, part)| part_check(name, &part.borrow())),
    );
    let status = match () {
        () if !reachable => Verdict::Unavailable,
        () if checks.iter().all(|check| check.status == CheckStatus::Ok) => Verdict::Ready,
        () => Verdict::Degraded,
    };
    let body = Json(ReadinessBody { status, checks });
    match status {
        Verdict::Ready | Verdict::Degraded => body.into_response(),
        Verdict::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "5")],
            body,
        )
            .into_response(),
    }
}

/// Metrics in Prometheus' text format.
///
/// Figures of the queue are left out while the database is away.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")))]
async fn metrics(State(state): State<HealthState>) -> Response {
    state.metrics.run_upkeep();
    let depth = tokio::time::timeout(PROBE_TIMEOUT, state.store.queue_depth()).await;
    let text = state.metrics.render() + &figures(depth.ok().and_then(Result::ok), state.store.pool_status());
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text).into_response()
}

/// What is measured when somebody looks, and not kept: it would be out of date.
fn figures(depth: Option<QueueDepth>, pool: PoolStatus) -> String {
    let mut text = format!(
        "# HELP slipway_database_connections Connections of this process.\n\
         # TYPE slipway_database_connections gauge\n\
         slipway_database_connections{{state=\"idle\"}} {}\n\
         slipway_database_connections{{state=\"used\"}} {}\n",
        pool.idle,
        pool.size.saturating_sub(pool.idle)
    );
    if let Some(depth) = depth {
        text += "# HELP slipway_builds Builds that wait or hold a slot, in all projects.\n# TYPE slipway_builds gauge\n";
        for (state, builds) in [
            (BuildState::Queued, depth.queued),
            (BuildState::Launching, depth.launching),
            (BuildState::Running, depth.running),
            (BuildState::Cancelling, depth.cancelling),
        ] {
            text += &format!("slipway_builds{{state=\"{state}\"}} {builds}\n");
        }
    }
    text
}

/// Whether the database answers, and whether it has our tables.
async fn database(store: &Store) -> [CheckBody; 2] {
    let ok = |name| check(name, CheckStatus::Ok, None);
    match tokio::time::timeout(PROBE_TIMEOUT, store.ready()).await {
        Ok(Ok(())) => [ok("database"), ok("migrations")],
        Ok(Err(_)) if answers(store).await => [
            ok("database"),
            check(
                "migrations",
                CheckStatus::Failed,
                Some("the migrations are not all applied"),
            ),
        ],
        Ok(Err(_)) | Err(_) => [
            check(
                "database",
                CheckStatus::Failed,
                Some("the database does not answer"),
            ),
            check("migrations", CheckStatus::Unknown, None),
        ],
    }
}

/// Whether the database answers anything: a refusal is an answer too.
async fn answers(store: &Store) -> bool {
    let nobody = BuildId(Uuid::nil());
    let answer = tokio::time::timeout(PROBE_TIMEOUT, store.build(nobody)).await;
    matches!(answer, Ok(Ok(_) | Err(StoreError::Query(_))))
}

fn part_check(name: &'static str, condition: &Condition) -> CheckBody {
    match condition {
        Condition::Unknown => check(name, CheckStatus::Unknown, None),
        Condition::Ready => check(name, CheckStatus::Ok, None),
        Condition::Degraded(message) => check(name, CheckStatus::Failed, Some(message)),
    }
}

fn check(name: &'static str, status: CheckStatus, message: Option<&str>) -> CheckBody {
    CheckBody {
        name,
        status,
        message: message.map(str::to_owned),
    }
}
