//! API and dispatcher in this process: for figures that need a launcher of their own, or one clock for both sides.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use metrics_exporter_prometheus::PrometheusHandle;
use slipway::{
    api::{self, ApiOptions, ApiState, HealthState, ListenerOptions, Readiness},
    blobs::Blobs,
    dispatcher::{Dispatcher, Options},
    domain::keyring::Keyring,
    launcher::Launcher,
    store::{Slots, Store, StoreOptions},
    telemetry,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::OnceCell};
use tokio_util::sync::CancellationToken;

use super::deliveries::KEY;

/// A process has one, however often something starts in it.
static METRICS: OnceCell<PrometheusHandle> = OnceCell::const_new();

/// What runs in this process; it stops when this is dropped.
pub struct Inside {
    /// Where it answers.
    pub address: String,
    stop: CancellationToken,
    _contexts: TempDir,
}

impl Inside {
    /// Starts both over this database, with so many slots.
    pub async fn start(database: &str, launcher: Arc<dyn Launcher>, slots: u32) -> Result<Self> {
        let store = store(database)?;
        store.migrate().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let contexts = tempfile::tempdir()?;
        let (creator, batcher) = store.creator(1024);
        let metrics = METRICS
            .get_or_try_init(async || telemetry::start_metrics())
            .await?
            .clone();
        tokio::spawn(telemetry::sum_up(metrics.clone()));
        let health = HealthState::new(store.clone(), Readiness::default(), metrics);
        let blobs = Blobs::from_url(&contexts.path().display().to_string())?;
        let keys = Keyring::from_settings(&KEY.to_owned().into())?;
        let api_options = ApiOptions {
            deliveries_per_minute: 0,
            ..ApiOptions::default()
        };
        let state = ApiState::new(health, creator, blobs, api_options).with_keyring(Some(Arc::new(keys)));
        let router = api::router(state.without_authentication());
        let stop = CancellationToken::new();
        let patience = ListenerOptions::default();
        tokio::spawn(batcher);
        tokio::spawn(api::serve(listener, router, patience, stop.clone(), stop.clone()));
        dispatch(store, launcher, options(&address, slots)?, &stop);
        Ok(Self {
            address,
            stop,
            _contexts: contexts,
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs a dispatcher over a store, woken by other processes too, until `stop`.
pub fn dispatch(store: Store, launcher: Arc<dyn Launcher>, options: Options, stop: &CancellationToken) {
    tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.run_wakeups(stop).await }
    });
    tokio::spawn(Dispatcher::new(store, launcher, options).run(stop.clone(), stop.clone()));
}

/// A store as the service connects it.
pub fn store(database: &str) -> Result<Store> {
    Ok(Store::connect(&StoreOptions {
        url: database.into(),
        direct_url: None,
        max_connections: 20,
        acquire_timeout: Duration::from_secs(5),
        notify: true,
    })?)
}

/// The service's defaults but for the slots, and for logs of any length.
pub fn options(address: &str, slots: u32) -> Result<Options> {
    Ok(Options {
        slots: Slots {
            total: slots,
            per_project: slots,
        },
        lease: Duration::from_secs(60),
        launches: 32,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        reconcile_interval: Duration::from_secs(60),
        max_relaunches: 3,
        max_log_bytes: 4 << 30,
        max_log_line: 65_536,
        secrets: Arc::default(),
        internal_url: format!("http://{address}/").parse()?,
    })
}
