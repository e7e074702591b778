//! Watches of single builds: a watcher is woken when the build, or its log, may have changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Store, wakeups::Wakeup};
use crate::domain::BuildId;

/// Upper bound of builds that one NOTIFY names; beyond it, the payload means that any build may have changed.
/// Postgres limits a payload to 8000 bytes.
const NAMED: usize = 200;
/// Payload that means all builds.
const ANY: &str = "*";

/// Part of a build that may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Aspect {
    /// The build itself or an attempt. Watchers of a log are woken for these, too.
    State,
    /// Only the log: it has grown.
    Log,
}

impl Aspect {
    pub(super) const ALL: [Self; 2] = [Self::State, Self::Log];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::State => "build",
            Self::Log => "log",
        }
    }

    /// Returns the kinds of watchers that are woken.
    const fn wakes(self) -> &'static [Self] {
        match self {
            Self::State => &[Self::State, Self::Log],
            Self::Log => &[Self::Log],
        }
    }
}

/// Watchers of builds in this process, and changes that are still to be sent to other processes.
#[derive(Default)]
pub(super) struct Watches {
    watched: Mutex<HashMap<(BuildId, Aspect), Watched>>,
    state: Mutex<Outgoing>,
    log: Mutex<Outgoing>,
}

#[derive(Default)]
struct Watched {
    signal: watch::Sender<()>,
    watchers: usize,
}

#[derive(Default)]
struct Outgoing {
    builds: HashSet<BuildId>,
    any: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watches {
    fn watch(self: &Arc<Self>, id: BuildId, aspect: Aspect) -> BuildWatch {
        let mut watched = locked(&self.watched);
        let entry = watched.entry((id, aspect)).or_default();
        entry.watchers += 1;
        BuildWatch {
            wakeup: Wakeup::of(&entry.signal),
            key: (id, aspect),
            watches: Arc::clone(self),
        }
    }

    /// Wakes those who watch one of these builds.
    pub(super) fn changed(&self, ids: &[BuildId], aspect: Aspect) {
        let watched = locked(&self.watched);
        if watched.is_empty() {
            return;
        }
        for id in ids {
            for aspect in aspect.wakes() {
                if let Some(entry) = watched.get(&(*id, *aspect)) {
                    entry.signal.send_replace(());
                }
            }
        }
    }

    /// Wakes all watchers.
    pub(super) fn all_changed(&self) {
        for entry in locked(&self.watched).values() {
            entry.signal.send_replace(());
        }
    }

    fn outgoing(&self, aspect: Aspect) -> &Mutex<Outgoing> {
        match aspect {
            Aspect::State => &self.state,
            Aspect::Log => &self.log,
        }
    }

    /// Queues these builds to be sent to other processes.
    pub(super) fn tell(&self, ids: &[BuildId], aspect: Aspect) {
        let mut outgoing = locked(self.outgoing(aspect));
        if !outgoing.any {
            outgoing.builds.extend(ids);
            outgoing.any = outgoing.builds.len() > NAMED;
        }
    }

    /// Takes the payload for other processes; `None` if there is nothing to send.
    pub(super) fn to_tell(&self, aspect: Aspect) -> Option<String> {
        let Outgoing { builds, any } = std::mem::take(&mut *locked(self.outgoing(aspect)));
        if any {
            return Some(ANY.to_owned());
        }
        let names: Vec<String> = builds.iter().map(|id| id.0.simple().to_string()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    /// Wakes those who watch the builds that another process names.
    pub(super) fn heard(&self, names: &str, aspect: Aspect) {
        if names == ANY {
            return self.all_changed();
        }
        let ids: Vec<BuildId> = names
            .split(',')
            .filter_map(|name| name.parse().ok().map(BuildId))
            .collect();
        self.changed(&ids, aspect);
    }
}

/// Registration for one build, from its creation until it is dropped.
pub struct BuildWatch {
    wakeup: Wakeup,
    key: (BuildId, Aspect),
    watches: Arc<Watches>,
}

impl BuildWatch {
    /// Waits until the build may have changed since the last wait (or since the registration): by a signal of
    /// this process, by NOTIFY from another, or after the jittered poll interval.
    pub async fn changed(&mut self) {
        self.wakeup.wait().await;
    }
}

impl Drop for BuildWatch {
    fn drop(&mut self) {
        let mut watched = locked(&self.watches.watched);
        if let Some(entry) = watched.get_mut(&self.key) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                watched.remove(&self.key);
            }
        }
    }
}

impl Store {
    /// Watches the build's state and attempts. Register before looking: take the watch first, look, then wait
    /// on it.
    pub fn watch_build(&self, id: BuildId) -> BuildWatch {
        self.wakeups.watches().watch(id, Aspect::State)
    }

    /// Watches the build's logs, and its state and attempts as well.
    pub fn watch_log(&self, id: BuildId) -> BuildWatch {
        self.wakeups.watches().watch(id, Aspect::Log)
    }

    /// Counts the builds that are watched, for tests that look for leaks.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        locked(&self.wakeups.watches().watched).len()
    }

    /// Takes the payload of changed states without sending it, as if a NOTIFY were lost.
    #[cfg(test)]
    pub(super) fn untold(&self) -> Option<String> {
        self.wakeups.watches().to_tell(Aspect::State)
    }
}
