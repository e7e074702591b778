//! Connections of one's own: each kind of statement that is made all the time has one that it holds from one to the next.
//!
//! A pool hands out its connections in turn. So each of twenty sessions reads, compiles and plans each statement, and none
//! has in the processor's caches what the next statement needs: of claims and what follows from them, a tenth of the
//! throughput. And sqlx asks a connection that is given back whether it is well: with one client that creates builds, a
//! round trip for each.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

/// A connection that was held for longer, unused, is asked by its pool whether it is well.
const UNASKED: Duration = Duration::from_secs(1);

/// A pool, and the connection of it that is held. Cheap to clone.
#[derive(Clone)]
pub(super) struct Own {
    pool: PgPool,
    /// Nobody else takes connections from the pool.
    alone: bool,
    held: Arc<Mutex<Option<Held>>>,
}

struct Held {
    connection: PoolConnection<Postgres>,
    used: Instant,
}

impl Own {
    /// From a pool that is there for nothing else.
    pub(super) fn alone(pool: PgPool) -> Self {
        Self {
            pool,
            alone: true,
            held: Arc::default(),
        }
    }

    /// From a pool that others use, too.
    pub(super) fn shared(pool: PgPool) -> Self {
        Self {
            alone: false,
            ..Self::alone(pool)
        }
    }

    /// The connection, for one statement or transaction: to be [held](Self::hold) or [kept](Self::keep) again when that
    /// went well. One that is dropped instead is asked by the pool whether it is well.
    pub(super) async fn take(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let held = self.held().take();
        match held {
            Some(held) if held.used.elapsed() < UNASKED => Ok(held.connection),
            stale => {
                drop(stale);
                self.pool.acquire().await
            }
        }
    }

    /// Holds the connection until it is taken or [released](Self::released), which is up to the caller.
    pub(super) fn hold(&self, connection: PoolConnection<Postgres>) {
        let used = Instant::now();
        *self.held() = Some(Held { connection, used });
    }

    /// Holds the connection for as long as nobody takes it, unless others might need it.
    pub(super) fn keep(&self, connection: PoolConnection<Postgres>) {
        if self.alone {
            self.hold(connection);
        }
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

    /// As if the held connection had been used that much earlier.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        let mut held = self.held();
        let held = held.as_mut().expect("one is held");
        held.used = held.used.checked_sub(by).expect("this machine was up by then");
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
