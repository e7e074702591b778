//! Leader election: roles that one replica has at a time. Each is a session advisory lock on a pinned
//! connection.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::{Store, StoreError};

/// Upper bound of the time in which the database must confirm that the lock is still held.
const PING: Duration = Duration::from_secs(5);
/// Upper bound of the time in which the database must grant or refuse the lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Role of one replica at a time. The numbers are the keys of the locks.
#[derive(Debug, Clone, Copy)]
enum Role {
    Observer = 2,
    Sweeper = 5,
}

/// Role of this process, for as long as this value exists and [`RoleLock::held`] returns true.
///
/// Call `held` at least every 10 s: the database ends a session that is idle for 30 s, so that a process that
/// is stopped or cut off loses its role.
pub struct RoleLock {
    connection: PgConnection,
}

impl Store {
    /// Becomes the only observer among all replicas. Returns `None` if there is one already. To give up the
    /// role, drop the value; a lost connection also ends it.
    pub async fn become_observer(&self) -> Result<Option<RoleLock>, StoreError> {
        self.take(Role::Observer).await
    }

    /// Becomes the only replica that does retention, in the same way as [`Store::become_observer`].
    pub async fn become_sweeper(&self) -> Result<Option<RoleLock>, StoreError> {
        self.take(Role::Sweeper).await
    }

    async fn take(&self, role: Role) -> Result<Option<RoleLock>, StoreError> {
        // A connection may have been dead for a long time without an error.
        match tokio::time::timeout(PATIENCE, self.ask_for_role(role)).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unavailable("no answer about the lock of a role")),
        }
    }

    async fn ask_for_role(&self, role: Role) -> Result<Option<RoleLock>, StoreError> {
        // From here on the connection belongs to no pool: dropping it, even within this call, releases the
        // lock.
        let mut connection = self.direct.acquire().await?.detach();
        // Set before the lock is taken: a process that is stopped right after it got the lock must lose it,
        // too.
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
    /// Returns true if the lock's connection is still alive, by asking the database.
    pub async fn held(&mut self) -> bool {
        matches!(
            tokio::time::timeout(PING, self.connection.ping()).await,
            Ok(Ok(()))
        )
    }
}
