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
/// One that was held for so long in all goes back to its pool, which closes it when it is too old.
const HELD: Duration = Duration::from_secs(60);

/// A pool, and the connection of it that is held. Cheap to clone.
#[derive(Clone)]
pub(super) struct Own {
    pool: PgPool,
    /// Nobody else takes connections from the pool.
    alone: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// When the pool gave the last connection.
    given: Option<Instant>,
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
            state: Arc::default(),
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
        let held = self.state().held.take();
        match held {
            Some(held) if held.used.elapsed() < UNASKED => Ok(held.connection),
            stale => {
                drop(stale);
                let connection = self.pool.acquire().await?;
                self.state().given = Some(Instant::now());
                Ok(connection)
            }
        }
    }

    /// Holds the connection until it is taken or [released](Self::released), which is up to the caller.
    pub(super) fn hold(&self, connection: PoolConnection<Postgres>) {
        let used = Instant::now();
        let mut state = self.state();
        if state.given.is_some_and(|given| used.duration_since(given) < HELD) {
            state.held = Some(Held { connection, used });
        }
    }

    /// Holds the connection for as long as nobody takes it, unless others might need it.
    pub(super) fn keep(&self, connection: PoolConnection<Postgres>) {
        if self.alone {
            self.hold(connection);
        }
    }

    /// The pool, with the held connection given back to it: it may be the only one.
    pub(super) fn released(&self) -> &PgPool {
        drop(self.state().held.take());
        &self.pool
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.num_idle()
    }

    /// As if the held connection had been used that much earlier.
    #[cfg(test)]
    pub(super) fn unused_for(&self, time: Duration) {
        let mut state = self.state();
        let held = state.held.as_mut().expect("one is held");
        held.used = held.used.checked_sub(time).expect("this machine was up by then");
    }

    /// As if the pool had given the connection that much earlier.
    #[cfg(test)]
    pub(super) fn held_for(&self, time: Duration) {
        let given = self.state().given.expect("one was given");
        self.state().given = given.checked_sub(time);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
