//! Connections to the database, migrations, and the readiness check.

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

/// All migrations that this binary contains.
static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!();
    // A newer replica may have migrated further. Migrations expand first, so older binaries still work.
    migrations.ignore_missing = true;
    migrations
};

/// Upper bound of direct connections: listener, notifier, the observer's lock, migrations, and one to spare.
const DIRECT_CONNECTIONS: u32 = 5;

/// Idle time after which a connection is pinged before use.
const IDLE: Duration = Duration::from_secs(1);

/// Options of the connection to the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Address, `postgres://…`; may go through a pooler in transaction mode.
    pub url: SecretString,
    /// Address of the same database without a pooler, for LISTEN and session locks; `url` when absent.
    pub direct_url: Option<SecretString>,
    /// Upper bound of connections in the pool.
    pub max_connections: u32,
    /// Time that a request waits for a free connection before the database counts as unavailable.
    pub acquire_timeout: Duration,
    /// `true` to use LISTEN and NOTIFY, `false` to poll only.
    pub notify: bool,
}

impl Store {
    /// Connects lazily: succeeds without a database, so that the service starts while Postgres is
    /// unavailable.
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
                // A ping before each use costs a tenth of the throughput. Under load, a dead connection is
                // detected by its use; an idle one is pinged, so that no request fails because of a restart.
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

    /// Creates a store that uses these pools.
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

    /// Applies the migrations. If two replicas do so at once, one waits for the other.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(MIGRATIONS.run(&self.direct).await?)
    }

    /// Checks that the database answers and has every migration of this binary.
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

/// Returns the error of a schema without our migrations; another process may be migrating it.
fn unmigrated(error: MigrateError) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Migrate(Box::new(error)))
}

fn parse(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    Ok(options.application_name("slipway"))
}

/// Limits the time that a statement or a forgotten transaction can block others.
fn bounded(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        // These queries are short: compiling one costs more than running it.
        ("jit", "off"),
    ])
}

/// Plans the creating statement once instead of at each execution, because planning it takes longer than
/// storing a single build.
fn planned_once(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("plan_cache_mode", "force_generic_plan")])
}
