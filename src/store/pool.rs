//! Connecting, migrating, and whether both went well.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tokio::sync::Semaphore;

use crate::domain::quota::Quotas;

use super::{Store, StoreError, counts::Folding, lanes::Upkeep, own::Own, wakeups::Wakeups};

/// Every migration that this binary knows.
static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!();
    // A newer replica may have migrated further: migrations expand first, so that older binaries go on.
    migrations.ignore_missing = true;
    migrations
};

/// Connections of their own: listener, notifier, observer's lock, migrations, and one to spare.
const DIRECT_CONNECTIONS: u32 = 5;

/// How long a connection may lie idle and still be used unasked.
const IDLE: Duration = Duration::from_secs(1);

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`; may go through a pooler in transaction mode.
    pub url: SecretString,
    /// The same database without a pooler, for LISTEN and session locks; `url` when absent.
    pub direct_url: Option<SecretString>,
    /// Connections in the pool.
    pub max_connections: u32,
    /// How long a request waits for a free connection before the database counts as unavailable.
    pub acquire_timeout: Duration,
    /// Whether to LISTEN and NOTIFY, or to poll only.
    pub notify: bool,
}

impl Store {
    /// Connects lazily: succeeds without a database, so that the service starts while Postgres is away.
    pub fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        let url = parse(&options.url)?;
        let (url, direct, creating) = match &options.direct_url {
            // A pooler refuses settings in the startup packet.
            Some(direct) => (url, bounded(parse(direct)?), None),
            None => (
                bounded(url.clone()),
                bounded(url.clone()),
                Some(planned_once(bounded(url))),
            ),
        };
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.acquire_timeout)
                // Asking each time costs a tenth of the throughput. Under load a dead connection is found out by its
                // use; one that lay idle is asked, so that no request pays for a restart.
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for > IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
        };
        let mut store = Self::over(
            pool(options.max_connections).connect_lazy_with(url.clone()),
            pool(DIRECT_CONNECTIONS).connect_lazy_with(direct),
            options.notify,
        );
        if let Some(creating) = creating {
            store.creating = Own::alone(pool(1).connect_lazy_with(creating));
        }
        for own in [&mut store.claiming, &mut store.launching, &mut store.ending] {
            *own = Own::alone(pool(1).connect_lazy_with(url.clone()));
        }
        Ok(store)
    }

    /// A store over these pools.
    pub(super) fn over(pool: PgPool, direct: PgPool, notify: bool) -> Self {
        Self {
            creating: Own::shared(pool.clone()),
            claiming: Own::shared(pool.clone()),
            launching: Own::shared(pool.clone()),
            ending: Own::shared(pool.clone()),
            delivering: Arc::new(Semaphore::new(
                (pool.options().get_max_connections() as usize / 2).max(1),
            )),
            pool,
            direct,
            wakeups: Arc::new(Wakeups::new(notify)),
            launches: Arc::default(),
            ends: Arc::default(),
            lanes: Arc::new(Upkeep::default()),
            counts: Arc::new(Folding::default()),
            shares: Arc::default(),
            projects: Arc::default(),
            limited: Arc::default(),
            quotas: Quotas::default(),
        }
    }

    /// Applies the migrations; of two replicas that do so at once, one waits.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(MIGRATIONS.run(&self.direct).await?)
    }

    /// Whether the database answers and has every migration that this binary knows.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let applied = sqlx::query!("SELECT version, checksum FROM _sqlx_migrations WHERE success")
            .fetch_all(&self.pool)
            .await;
        let applied = match applied {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Vec::new(),
            other => other?,
        };
        for migration in MIGRATIONS.iter() {
            match applied.iter().find(|row| row.version == migration.version) {
                Some(row) if row.checksum == *migration.checksum => {}
                Some(_) => return Err(unmigrated(MigrateError::VersionMismatch(migration.version))),
                None => return Err(unmigrated(MigrateError::VersionNotPresent(migration.version))),
            }
        }
        Ok(())
    }
}

/// The schema is not ours yet; somebody may be migrating it right now.
fn unmigrated(error: MigrateError) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Migrate(Box::new(error)))
}

fn parse(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    Ok(options.application_name("slipway"))
}

/// Bounds what a statement and a forgotten transaction may hold up.
fn bounded(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        // Our queries are short: compiling one costs more than running it.
        ("jit", "off"),
    ])
}

/// Spares creation, which is one statement, that it be planned each time: for a single build that takes longer than
/// storing it.
fn planned_once(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("plan_cache_mode", "force_generic_plan")])
}
