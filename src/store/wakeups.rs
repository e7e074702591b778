//! Wake-ups by topic: a signal within the process, NOTIFY between processes, and a poll in addition to both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{
    Store,
    watches::{Aspect, Watches},
};
use crate::domain::BuildId;

/// Upper bound of the poll interval; each interval is random, from half of it to all of it.
const POLL: Duration = Duration::from_secs(1);

/// Kind of change that wakes waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A build was queued, or a slot became free.
    Queue,
    /// A cancellation was requested.
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

/// Registration for a topic, from its creation on.
pub struct Wakeup {
    signal: watch::Receiver<()>,
}

impl Wakeup {
    /// Registers for a signal.
    pub(super) fn of(signal: &watch::Sender<()>) -> Self {
        Self {
            signal: signal.subscribe(),
        }
    }

    /// Waits until the topic may have changed since the last wait (or since the registration).
    pub async fn wait(&mut self) {
        let poll = jittered(POLL);
        // Returns after a time-out, so that the caller checks. If the store is gone, the sleep keeps the
        // caller from spinning.
        if let Ok(Err(_)) = tokio::time::timeout(poll, self.signal.changed()).await {
            tokio::time::sleep(poll).await;
        }
    }
}

/// Returns a random span from half of `span` to all of it, so that replicas do not act in step.
pub(super) fn jittered(span: Duration) -> Duration {
    rand::rng().random_range(span / 2..=span)
}

/// Signals of one process.
pub(super) struct Wakeups {
    queue: Signal,
    cancel: Signal,
    /// Signals that any build was created or changed.
    builds: watch::Sender<()>,
    watches: Arc<Watches>,
    /// Signals that there is something to send to other processes.
    pub(super) outgoing: Notify,
    /// Distinguishes this process's own NOTIFY payloads from those of others.
    own: Uuid,
    pub(super) notify: bool,
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
            builds: watch::Sender::new(()),
            watches: Arc::default(),
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

    pub(super) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    /// Wakes the waiters in this process.
    fn here(&self, topic: Topic) {
        self.signal(topic).here.send_replace(());
        // Builds are created and end with this topic; those who wait for any build need no distinction.
        if topic == Topic::Queue {
            self.builds.send_replace(());
        }
    }

    /// Wakes all waiters in this process, because it is unknown what happened meanwhile.
    pub(super) fn everything(&self) {
        Topic::ALL.into_iter().for_each(|topic| self.here(topic));
        self.watches.all_changed();
    }

    /// Wakes those in this process who wait for one of these builds, and notifies the other processes.
    fn builds(&self, ids: &[BuildId], aspect: Aspect) {
        if ids.is_empty() {
            return;
        }
        self.watches.changed(ids, aspect);
        if aspect == Aspect::State {
            self.builds.send_replace(());
        }
        if self.notify {
            self.watches.tell(ids, aspect);
            self.outgoing.notify_one();
        }
    }

    /// Takes the payloads to send to other processes: each names the topic, the sender and, for builds, their
    /// ids.
    pub(super) fn to_tell(&self) -> Vec<String> {
        let own = self.own;
        let topics = Topic::ALL.into_iter().filter_map(|topic| {
            let told = self.signal(topic).elsewhere.swap(false, Ordering::AcqRel);
            told.then(|| format!("{} {own}", topic.as_str()))
        });
        let builds = Aspect::ALL.into_iter().filter_map(|aspect| {
            let ids = self.watches.to_tell(aspect)?;
            Some(format!("{} {own} {ids}", aspect.as_str()))
        });
        topics.chain(builds).collect()
    }

    /// Wakes this process by a payload, unless it is its own.
    pub(super) fn heard(&self, payload: &str) {
        let mut words = payload.split(' ');
        let (topic, from) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if from == self.own.to_string() {
            return;
        }
        for known in Topic::ALL.into_iter().filter(|known| known.as_str() == topic) {
            self.here(known);
        }
        for aspect in Aspect::ALL.into_iter().filter(|known| known.as_str() == topic) {
            self.watches.heard(words.next().unwrap_or_default(), aspect);
            if aspect == Aspect::State {
                self.builds.send_replace(());
            }
        }
    }
}

impl Store {
    /// Registers for `topic`: the wait ends when it may have changed, by a signal of this process, by NOTIFY
    /// from another, or after the jittered poll interval. Register before looking: take the `Wakeup` first,
    /// look, then wait on it.
    pub fn wakeup(&self, topic: Topic) -> Wakeup {
        Wakeup::of(&self.wakeups.signal(topic).here)
    }

    /// Registers for the creation and the state changes of all builds, as [`Store::wakeup`] does for a topic.
    pub fn watch_builds(&self) -> Wakeup {
        Wakeup::of(&self.wakeups.builds)
    }

    /// Wakes those who wait for the topic: in this process at once, in others through a coalesced NOTIFY.
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

    /// Wakes those who watch the build, in this process and in others. Every writer calls it after its
    /// commit.
    pub fn build_changed(&self, id: BuildId) {
        self.wakeups.builds(&[id], Aspect::State);
    }

    /// Wakes those who watch one of these builds.
    pub(super) fn builds_changed(&self, ids: &[BuildId]) {
        self.wakeups.builds(ids, Aspect::State);
    }

    /// Wakes those who follow the build's logs.
    pub(super) fn log_grew(&self, id: BuildId) {
        self.wakeups.builds(&[id], Aspect::Log);
    }
}
