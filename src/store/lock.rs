//! Roles that one replica has at a time: session advisory locks, each on a connection of its own.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::{Store, StoreError};

/// How long the database may take to say that the lock is still held.
const PING: Duration = Duration::from_secs(5);
/// How long it may take to get the lock, or to be told that another has it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What only one replica does at a time. The numbers name the locks.
#[derive(Debug, Clone, Copy)]
enum Role {
    Observer = 2,
    Sweeper = 5,
}

/// A role, as long as this is held and [`RoleLock::held`] says so.
///
/// Ask at least every ten seconds: the database takes the role away from a holder that is silent for thirty, so that
/// one that was stopped, or cut off, does not keep it.
pub struct RoleLock {
    connection: PgConnection,
}

impl Store {
    /// Becomes the one observer among all replicas, if there is none. Dropping it, or losing the connection, gives the
    /// role up.
    pub async fn become_observer(&self) -> Result<Option<RoleLock>, StoreError> {
        self.take(Role::Observer).await
    }

    /// Becomes the one among all replicas that removes what is old, likewise.
    pub async fn become_sweeper(&self) -> Result<Option<RoleLock>, StoreError> {
        self.take(Role::Sweeper).await
    }

    async fn take(&self, role: Role) -> Result<Option<RoleLock>, StoreError> {
        // A connection may have been dead for long without anybody having been told.
        match tokio::time::timeout(PATIENCE, self.ask_for_role(role)).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable("no answer about the lock of a role")),
        }
    }

    async fn ask_for_role(&self, role: Role) -> Result<Option<RoleLock>, StoreError> {
        // Of no pool from here on: dropping it, even within this call, is what gives the lock back.
        let mut connection = self.direct.acquire().await?.detach();
        // First: whoever is stopped right after it got the lock must lose it, too.
        sqlx::query!(
            r#"
            SELECT set_config('idle_session_timeout', '30s', false) AS silent,
                set_config('tcp_keepalives_idle', '10', false) AS idle,
                set_config('tcp_keepalives_interval', '5', false) AS interval,
                set_config('tcp_keepalives_count', '3', false) AS count
            "#
        )
        .fetch_one(&mut connection)
        .await?;
        let taken = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock(1936484471, $1) AS "taken!""#,
            role as i32
        )
        .fetch_one(&mut connection)
        .await?;
        if !taken {
            connection.close().await?;
            return Ok(None);
        }
        Ok(Some(RoleLock { connection }))
    }
}

impl RoleLock {
    /// Asks the database whether the lock's connection still lives.
    pub async fn held(&mut self) -> bool {
        matches!(
            tokio::time::timeout(PING, self.connection.ping()).await,
            Ok(Ok(()))
        )
    }
}
