//! Implements `slipway serve`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::Router;
use tokio::{
    net::TcpListener,
    sync::{SetOnce, watch},
};

use super::{launcher, secrets};
use crate::{
    api::{self, ApiOptions, ApiState, Condition, HealthState, Readiness},
    blobs::{Blobs, LogArchive},
    config::{Role, ServeArgs},
    dispatcher::{self, Dispatcher},
    domain::{SystemClock, keyring::Keyring, log::Known},
    launcher::Launcher,
    notifier::{self, Notifier},
    retention::Retention,
    shutdown::Shutdown,
    store::Store,
    telemetry,
};

/// Launches that one process has in flight at once; enough to keep an API server busy.
const LAUNCHES: usize = 64;
/// Interval at which a build that waits for its container is observed.
const WAITING_RECHECK: Duration = Duration::from_secs(5);
/// Number of times that a vanished Job is created again.
const MAX_RELAUNCHES: u32 = 3;

/// Runs the service until a signal or the death of a task stops it.
pub(super) async fn serve(args: ServeArgs) -> Result<()> {
    telemetry::start_logs(args.log.log_format, &args.log.log).map_err(anyhow::Error::msg)?;
    args.http.check().map_err(anyhow::Error::msg)?;
    let metrics = telemetry::start_metrics().context("metrics cannot be collected")?;
    let store = Store::connect(&args.database.store_options()).context("--database-url")?;
    let store = store.with_quotas(args.dispatch.quotas());
    let listener = TcpListener::bind(args.http.listen)
        .await
        .with_context(|| format!("--listen={}: the address cannot be listened on", args.http.listen))?;
    let secrets = Arc::new(secrets::known(&args)?);
    let shutdown = Shutdown::new(args.shutdown_grace);

    let keyring = args.secret.keyring().map_err(anyhow::Error::msg)?.map(Arc::new);
    let mut readiness = Readiness::default();
    let mut work = None;
    if args.role != Role::Api {
        let launcher = launcher::make(&args).await?;
        let (condition, watched) = watch::channel(Condition::Unknown);
        readiness = readiness.with("launcher", watched);
        work = Some((launcher, condition));
    }
    let tokens = shutdown.tokens();
    shutdown.spawn("metrics", {
        let (metrics, soft) = (metrics.clone(), tokens.soft.clone());
        async move {
            // The task has no end of its own.
            soft.run_until_cancelled(telemetry::sum_up(metrics)).await;
        }
    });
    let health = HealthState::new(store.clone(), readiness, metrics);
    let prepared = Arc::new(SetOnce::new());
    if args.role != Role::Api {
        let notifier = notifier(&args, &store, keyring.clone())?;
        notify(notifier, &shutdown, Arc::clone(&prepared));
    }
    let (router, retention) = match args.role {
        Role::Dispatcher => (api::health_router(health), None),
        Role::All | Role::Api => {
            let storages = Storages::of(&args)?;
            let retention = storages.retention(&args, &store);
            (
                rest(&args, &shutdown, &store, health, (storages, keyring)),
                Some(retention),
            )
        }
    };
    shutdown.spawn(
        "http",
        api::serve(
            listener,
            router,
            args.http.listener(),
            tokens.soft.clone(),
            tokens.hard.clone(),
        ),
    );
    shutdown.spawn("wakeups", {
        let (store, soft) = (store.clone(), tokens.soft.clone());
        async move { store.run_wakeups(soft).await }
    });
    shutdown.spawn(
        "background",
        background(
            Preparation {
                migrate: args.migrate,
                tokens: args.role != Role::Dispatcher && !args.http.no_auth,
                prepared,
            },
            store,
            work,
            retention,
            dispatcher_options(&args, secrets),
            tokens,
        ),
    );
    tracing::info!(
        listen = %args.http.listen, role = ?args.role, launcher = ?args.launcher,
        version = env!("CARGO_PKG_VERSION"), "serving"
    );
    shutdown.run().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Storages outside the database. Only processes that serve the API need them.
struct Storages {
    contexts: Blobs,
    log_archive: Option<LogArchive>,
}

impl Storages {
    fn of(args: &ServeArgs) -> Result<Self> {
        let storage =
            |setting: &str, url: &str| Blobs::from_url(url).with_context(|| format!("--{setting}={url}"));
        let archive = args.retention.log_archive.as_deref();
        let archive = archive.map(|url| storage("log-archive", url)).transpose()?;
        Ok(Self {
            contexts: storage("context-store", &args.http.context_store)?,
            log_archive: archive.map(LogArchive::new),
        })
    }

    fn retention(&self, args: &ServeArgs, store: &Store) -> Retention {
        Retention::new(
            store.clone(),
            self.contexts.clone(),
            self.log_archive.clone(),
            args.retention.options(),
            Arc::new(SystemClock),
        )
    }
}

/// Creates the notifier.
fn notifier(args: &ServeArgs, store: &Store, keyring: Option<Arc<Keyring>>) -> Result<Notifier> {
    let options = notifier::Options {
        reachable: args.notify.reachable(),
        external_url: args.notify.external_url.clone(),
        keyring,
        tokens: args.notify.tokens(),
    };
    Notifier::new(store.clone(), options, Arc::new(SystemClock)).context("notifications cannot be sent")
}

/// Runs the notifier as soon as the database has its schema.
fn notify(notifier: Notifier, shutdown: &Shutdown, prepared: Arc<SetOnce<()>>) {
    let tokens = shutdown.tokens();
    shutdown.spawn("notifications", async move {
        if tokens.soft.run_until_cancelled(prepared.wait()).await.is_some() {
            notifier.run(tokens.soft, tokens.hard).await;
        }
    });
}

/// Creates the router of the REST API, and starts its tasks.
fn rest(
    args: &ServeArgs,
    shutdown: &Shutdown,
    store: &Store,
    health: HealthState,
    (storages, keyring): (Storages, Option<Arc<Keyring>>),
) -> Router {
    let (creator, batcher) = store.creator(args.http.create_queue as usize);
    let options = ApiOptions {
        max_context_size: args.http.max_context_size,
        max_streams: args.http.max_streams as usize,
        max_delivery_size: args.http.max_delivery_size,
        deliveries_per_minute: args.http.deliveries_per_minute,
        allow_any_destination: args.http.allow_any_destination,
        rates: args.http.rates(),
        cors_origins: args.http.cors_origins.clone(),
        ..ApiOptions::default()
    };
    let soft = shutdown.tokens().soft;
    let mut state = ApiState::new(health, creator, storages.contexts, options)
        .with_log_archive(storages.log_archive)
        .with_keyring(keyring)
        .with_reachable(args.notify.reachable())
        .until(soft.clone());
    if args.http.no_auth {
        tracing::warn!(
            "--no-auth: NOBODY IS ASKED FOR A TOKEN; whoever reaches {} may do everything, in every project",
            args.http.listen
        );
        state = state.without_authentication();
    }
    let router = api::router(state);
    // The batcher ends when its last handle is dropped; the router holds one until the listener has ended.
    shutdown.spawn("creations", async move {
        batcher.await;
        soft.cancelled().await;
    });
    router
}

/// Work that precedes everything else.
struct Preparation {
    /// `true` if the migrations must be applied.
    migrate: bool,
    /// `true` if clients need tokens.
    tokens: bool,
    /// Set when the preparation is complete.
    prepared: Arc<SetOnce<()>>,
}

impl Preparation {
    async fn done(&self, store: &Store) {
        if self.migrate {
            migrated(store).await;
        }
        // Nothing else sets it.
        drop(self.prepared.set(()));
        // The operator of a new service needs the command that creates the first token.
        if self.tokens && matches!(store.has_tokens().await, Ok(false)) {
            tracing::warn!(
                "there is no token yet, so that nobody can use the API; make the first: \
                `slipway token create --name admin --scope admin`, with the database's address in SLIPWAY_DATABASE_URL"
            );
        }
    }
}

/// Prepares the database, then runs the dispatcher and the removal of expired data.
async fn background(
    preparation: Preparation,
    store: Store,
    work: Option<(Arc<dyn Launcher>, watch::Sender<Condition>)>,
    retention: Option<Retention>,
    options: dispatcher::Options,
    tokens: crate::shutdown::Tokens,
) {
    tokio::select! {
        () = preparation.done(&store) => {}
        () = tokens.soft.cancelled() => return,
    }
    let sweeping = async {
        match retention {
            Some(retention) => retention.run(tokens.soft.clone()).await,
            None => tokens.soft.cancelled().await,
        }
    };
    let Some((launcher, condition)) = work else {
        return sweeping.await;
    };
    let dispatcher = Dispatcher::new(store, Arc::clone(&launcher), options);
    tokio::join!(
        dispatcher.run(tokens.soft.clone(), tokens.hard.clone()),
        launcher::probe(launcher, condition, tokens.soft.clone()),
        sweeping,
    );
}

/// Applies the migrations, and tries again until it succeeds.
async fn migrated(store: &Store) {
    let mut said = false;
    while let Err(error) = store.migrate().await {
        if !said {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the migrations cannot be applied; trying again"
            );
            said = true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tracing::info!("the database is up to date");
}

fn dispatcher_options(args: &ServeArgs, secrets: Arc<Known>) -> dispatcher::Options {
    dispatcher::Options {
        slots: args.dispatch.slots(),
        lease: args.dispatch.launch_lease,
        launches: LAUNCHES,
        pending_deadline: args.dispatch.pending_deadline,
        waiting_recheck: WAITING_RECHECK,
        job_grace: args.dispatch.job_grace,
        reconcile_interval: args.dispatch.reconcile_interval,
        max_relaunches: MAX_RELAUNCHES,
        max_log_bytes: args.dispatch.max_log_size,
        max_log_line: args.dispatch.max_log_line,
        secrets,
        internal_url: args.http.internal_url(),
    }
}
