//! Notifications between processes: what was signalled in one wakes the others.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{Store, wakeups::jittered};

/// Where wake-ups of all kinds are notified.
const CHANNEL: &str = "slipway";
/// What is signalled within this time of a notification is notified together.
const COALESCE: Duration = Duration::from_millis(50);
/// A listening connection that is silent this long is asked whether it lives, and has this long to answer.
const PROBE: Duration = Duration::from_secs(5);

impl Store {
    /// Listens and notifies until `stop`. Runs as a task of the service; without it only this process is woken.
    pub async fn run_wakeups(&self, stop: CancellationToken) {
        if self.wakeups.notify {
            stop.run_until_cancelled(async { tokio::join!(self.listen(), self.tell()) })
                .await;
        } else {
            stop.cancelled().await;
        }
    }

    /// Tells other processes what was signalled here: at once where nothing was for a while. A notification that cannot
    /// be sent is dropped: they poll.
    async fn tell(&self) {
        loop {
            self.wakeups.outgoing.notified().await;
            let payloads = self.wakeups.to_tell();
            // A notification outlives no crash in any case: its commit is not to take turns with theirs at the disk.
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

    /// Hears what is signalled elsewhere, over one connection after the other.
    async fn listen(&self) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.listen_once().await {
                // It had worked: try again at once, then ever slower.
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
        // What was signalled while nobody listened is lost: look once.
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
