//! The batcher's connection: held from one creation to the next as long as they follow each other.
//!
//! sqlx asks a connection that is given back to its pool whether it is well. With one client that is a round trip for
//! each creation, on the processors that the next one needs.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

/// A pool, and the connection of it that is held. Cheap to clone.
#[derive(Clone)]
pub(super) struct Creating {
    pool: PgPool,
    held: Arc<Mutex<Option<PoolConnection<Postgres>>>>,
}

impl Creating {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            held: Arc::default(),
        }
    }

    /// The connection, for one statement: to be [held](Self::hold) again when that went well. One that is dropped
    /// instead is asked by the pool whether it is well.
    pub(super) async fn take(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let held = self.held().take();
        match held {
            Some(connection) => Ok(connection),
            None => self.pool.acquire().await,
        }
    }

    /// Holds the connection for the next creation.
    pub(super) fn hold(&self, connection: PoolConnection<Postgres>) {
        *self.held() = Some(connection);
    }

    /// The pool, with the held connection given back to it: it may be the only one.
    pub(super) fn released(&self) -> &PgPool {
        drop(self.held().take());
        &self.pool
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.num_idle()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<PoolConnection<Postgres>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
