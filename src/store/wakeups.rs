//! Wake-ups by topic: a signal within the process, notifications between processes, and a poll beside both.

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

/// A waiter looks by itself after half this time to all of it.
const POLL: Duration = Duration::from_secs(1);

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
    /// Interest in a signal.
    pub(super) fn of(signal: &watch::Sender<()>) -> Self {
        Self {
            signal: signal.subscribe(),
        }
    }

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
pub(super) fn jittered(span: Duration) -> Duration {
    rand::rng().random_range(span / 2..=span)
}

/// The signals of one process.
pub(super) struct Wakeups {
    queue: Signal,
    cancel: Signal,
    /// Some build, whichever, was created or changed.
    builds: watch::Sender<()>,
    watches: Arc<Watches>,
    /// Something is to be told to other processes.
    pub(super) outgoing: Notify,
    /// Tells our own notifications from others'.
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

    /// Wakes those who wait in this process.
    fn here(&self, topic: Topic) {
        self.signal(topic).here.send_replace(());
        // Builds are created and end with this: whoever waits for any build need not be told apart.
        if topic == Topic::Queue {
            self.builds.send_replace(());
        }
    }

    /// Wakes everybody in this process: what happened meanwhile is not known.
    pub(super) fn everything(&self) {
        Topic::ALL.into_iter().for_each(|topic| self.here(topic));
        self.watches.all_changed();
    }

    /// Wakes those in this process who wait for one of these builds, and has others told.
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

    /// What other processes are to be told: a payload names the topic, who says it, and for builds which.
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

    /// Wakes this process by a notification, unless it is our own.
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
    /// Resolves when `topic` may have changed: signalled in this process, notified by another, or after the jittered
    /// poll interval. Register before looking: take the `Wakeup` first, look, then wait on it.
    pub fn wakeup(&self, topic: Topic) -> Wakeup {
        Wakeup::of(&self.wakeups.signal(topic).here)
    }

    /// Resolves likewise when a build, whichever, may have been created or have changed its state.
    pub fn watch_builds(&self) -> Wakeup {
        Wakeup::of(&self.wakeups.builds)
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

    /// Wakes those who watch the build, likewise. Called by every writer after its commit.
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
