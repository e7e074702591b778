//! Wake-ups: a signal within the process, notifications between processes, and a poll beside both.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rand::Rng;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Store;

/// Where wake-ups of all topics are notified; the payload names the topic and who says it.
const CHANNEL: &str = "slipway";
/// What is signalled within this time is notified once.
const COALESCE: Duration = Duration::from_millis(10);
/// A waiter looks by itself after half this time to all of it.
const POLL: Duration = Duration::from_secs(1);
/// A listening connection that is silent this long is asked whether it lives, and has this long to answer.
const PROBE: Duration = Duration::from_secs(5);

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A build was queued, or a slot became free.
    Queue,
    /// Somebody asked for a cancel.
    Cancel,
}

impl Topic {
    const ALL: [Self; 2] = [Self::Queue, Self::Cancel];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Cancel => "cancel",
        }
    }
}

/// Interest in a topic, from the moment it was taken.
pub struct Wakeup {
    signal: watch::Receiver<()>,
}

impl Wakeup {
    /// Waits until the topic may have changed since the last wait (or since this was taken).
    pub async fn wait(&mut self) {
        let poll = jittered(POLL);
        // Elapsed, or the store is gone: either way it is time to look.
        if let Ok(Err(_)) = tokio::time::timeout(poll, self.signal.changed()).await {
            tokio::time::sleep(poll).await;
        }
    }
}

/// From half of it to all of it, so that replicas do not keep step.
fn jittered(span: Duration) -> Duration {
    rand::rng().random_range(span / 2..=span)
}

/// The signals of one process.
pub(super) struct Wakeups {
    queue: Signal,
    cancel: Signal,
    /// Something is to be told to other processes.
    outgoing: Notify,
    /// Tells our own notifications from others'.
    own: Uuid,
    notify: bool,
}

struct Signal {
    here: watch::Sender<()>,
    elsewhere: AtomicBool,
}

impl Signal {
    fn new() -> Self {
        Self {
            here: watch::Sender::new(()),
            elsewhere: AtomicBool::new(false),
        }
    }
}

impl Wakeups {
    pub(super) fn new(notify: bool) -> Self {
        Self {
            queue: Signal::new(),
            cancel: Signal::new(),
            outgoing: Notify::new(),
            own: Uuid::new_v4(),
            notify,
        }
    }

    fn signal(&self, topic: Topic) -> &Signal {
        match topic {
            Topic::Queue => &self.queue,
            Topic::Cancel => &self.cancel,
        }
    }

    /// Wakes those who wait in this process.
    fn here(&self, topic: Topic) {
        self.signal(topic).here.send_replace(());
    }

    /// Wakes this process by a notification, unless it is our own.
    fn heard(&self, payload: &str) {
        let (topic, from) = payload.split_once(' ').unwrap_or((payload, ""));
        if from == self.own.to_string() {
            return;
        }
        for known in Topic::ALL.into_iter().filter(|known| known.as_str() == topic) {
            self.here(known);
        }
    }
}

impl Store {
    /// Resolves when `topic` may have changed: signalled in this process, notified by another, or after the jittered
    /// poll interval. Register before looking: take the `Wakeup` first, look, then wait on it.
    pub fn wakeup(&self, topic: Topic) -> Wakeup {
        Wakeup {
            signal: self.wakeups.signal(topic).here.subscribe(),
        }
    }

    /// Wakes those who wait for the topic, here at once and elsewhere through a coalesced NOTIFY.
    pub fn wake(&self, topic: Topic) {
        self.wakeups.here(topic);
        if self.wakeups.notify {
            self.wakeups
                .signal(topic)
                .elsewhere
                .store(true, Ordering::Release);
            self.wakeups.outgoing.notify_one();
        }
    }

    /// Listens and notifies until `stop`. Runs as a task of the service; without it only this process is woken.
    pub async fn run_wakeups(&self, stop: CancellationToken) {
        if self.wakeups.notify {
            stop.run_until_cancelled(async { tokio::join!(self.listen(), self.tell()) })
                .await;
        } else {
            stop.cancelled().await;
        }
    }

    /// Tells other processes what was signalled here. A notification that cannot be sent is dropped: they poll.
    async fn tell(&self) {
        loop {
            self.wakeups.outgoing.notified().await;
            tokio::time::sleep(COALESCE).await;
            for topic in Topic::ALL {
                if !self.wakeups.signal(topic).elsewhere.swap(false, Ordering::AcqRel) {
                    continue;
                }
                let payload = format!("{} {}", topic.as_str(), self.wakeups.own);
                let told = sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload)
                    .fetch_one(&self.direct)
                    .await;
                if let Err(error) = told {
                    tracing::debug!(%error, "a notification was not sent; others find out by polling");
                }
            }
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
        let mut listener = PgListener::connect_with(&self.direct).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        // What was signalled while nobody listened is lost: look once.
        Topic::ALL.into_iter().for_each(|topic| self.wakeups.here(topic));
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
