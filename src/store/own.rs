//! Pinned connections: each frequent kind of statement keeps its connection from one execution to the next.
//!
//! A pool hands out its connections in turn. Each of twenty sessions then reads, compiles and plans every
//! statement, and the processor's caches of none contain what the next statement needs: this costs claims and
//! the statements that follow them a tenth of the throughput. sqlx also pings a connection that is returned
//! to a pool: with one client that creates builds, this costs a round trip per build.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};

/// Time without use after which the connection goes back to its pool, which pings it.
const UNASKED: Duration = Duration::from_secs(1);
/// Total time after which the connection goes back to its pool, which closes it when it is too old.
const HELD: Duration = Duration::from_secs(60);

/// Pool and its pinned connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Own {
    pool: PgPool,
    /// `true` if nothing else takes connections from the pool.
    alone: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Time at which the pool handed out the last connection.
    given: Option<Instant>,
}

struct Held {
    connection: PoolConnection<Postgres>,
    used: Instant,
}

impl Own {
    /// Pins a connection of a pool that has no other user.
    pub(super) fn alone(pool: PgPool) -> Self {
        Self {
            pool,
            alone: true,
            state: Arc::default(),
        }
    }

    /// Pins a connection of a pool that has other users.
    pub(super) fn shared(pool: PgPool) -> Self {
        Self {
            alone: false,
            ..Self::alone(pool)
        }
    }

    /// Returns the connection for one statement or transaction. The caller must [hold](Self::hold) or
    /// [keep](Self::keep) it again after a success; a connection that is dropped instead is pinged by the
    /// pool.
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

    /// Holds the connection until it is taken or [released](Self::released); the caller must ensure one of
    /// the two.
    pub(super) fn hold(&self, connection: PoolConnection<Postgres>) {
        let used = Instant::now();
        let mut state = self.state();
        if state.given.is_some_and(|given| used.duration_since(given) < HELD) {
            state.held = Some(Held { connection, used });
        }
    }

    /// Holds the connection until it is taken, unless the pool has other users.
    pub(super) fn keep(&self, connection: PoolConnection<Postgres>) {
        if self.alone {
            self.hold(connection);
        }
    }

    /// Returns the pool after giving the held connection back to it, which may be its only one.
    pub(super) fn released(&self) -> &PgPool {
        drop(self.state().held.take());
        &self.pool
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.num_idle()
    }

    /// Pretends that the held connection was used that much earlier.
    #[cfg(test)]
    pub(super) fn unused_for(&self, time: Duration) {
        let mut state = self.state();
        let held = state.held.as_mut().expect("one is held");
        held.used = held.used.checked_sub(time).expect("this machine was up by then");
    }

    /// Pretends that the pool handed out the connection that much earlier.
    #[cfg(test)]
    pub(super) fn held_for(&self, time: Duration) {
        let given = self.state().given.expect("one was given");
        self.state().given = given.checked_sub(time);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
