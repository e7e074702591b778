//! Wake-ups between processes: a signal in one process wakes the others through LISTEN and NOTIFY.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{Store, wakeups::jittered};

/// Channel of wake-ups of all kinds.
const CHANNEL: &str = "slipway";
/// Time for which signals are collected after a NOTIFY, to be sent together.
const COALESCE: Duration = Duration::from_millis(50);
/// Time of silence after which a listening connection is probed, and time that it has to answer.
const PROBE: Duration = Duration::from_secs(5);

impl Store {
    /// Listens and notifies until `stop`. Runs as a task of the service; without it, signals wake only this
    /// process.
    pub async fn run_wakeups(&self, stop: CancellationToken) {
        if self.wakeups.notify {
            stop.run_until_cancelled(async { tokio::join!(self.listen(), self.tell()) })
                .await;
        } else {
            stop.cancelled().await;
        }
    }

    /// Sends the signals of this process to the others: at once if none was sent recently. A NOTIFY that
    /// fails is dropped, because the others also poll.
    async fn tell(&self) {
        loop {
            self.wakeups.outgoing.notified().await;
            let payloads = self.wakeups.to_tell();
            // A NOTIFY does not survive a crash in any case, so its commit need not wait for the disk.
            let told = sqlx::query!(
                "SELECT pg_notify($1, payload)
                FROM unnest($2::text[]) payload, set_config('synchronous_commit', 'off', true)",
                CHANNEL,
                &payloads
            )
            .execute(&self.direct);
            match tokio::time::timeout(PROBE, told).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "notifications were not sent; others find out by polling");
                }
                Err(_) => tracing::debug!("notifications were not taken in time; others find out by polling"),
            }
            tokio::time::sleep(COALESCE).await;
        }
    }

    /// Receives the signals of other processes, and reconnects when the connection is lost.
    async fn listen(&self) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.listen_once().await {
                // The connection worked: retry soon, then with a growing backoff.
                Ok(()) => pause = Duration::from_millis(100),
                Err(error) => tracing::debug!(%error, "cannot listen for notifications; polling goes on"),
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Listens until the connection is lost.
    async fn listen_once(&self) -> Result<(), sqlx::Error> {
        let connect = async {
            let mut listener = PgListener::connect_with(&self.direct).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let connected = tokio::time::timeout(PROBE, connect).await;
        let mut listener = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
        // Signals that were sent without a listener are lost, so all waiters check once.
        self.wakeups.everything();
        loop {
            match tokio::time::timeout(PROBE, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.wakeups.heard(notification.payload()),
                Ok(Ok(None) | Err(_)) => return Ok(()),
                Err(_) => {
                    let alive = sqlx::query("SELECT 1").execute(&mut listener);
                    if !matches!(tokio::time::timeout(PROBE, alive).await, Ok(Ok(_))) {
                        return Ok(());
                    }
                }
            }
        }
    }
}
