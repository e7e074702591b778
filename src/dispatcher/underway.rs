//! Launches of this process that are in flight. Changes of such a build's Job are observed once the launch is
//! recorded: before that, nothing may be written about it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::BuildId;

/// Builds that this process is launching.
#[derive(Debug, Clone, Default)]
pub(super) struct Underway(Arc<Mutex<HashSet<BuildId>>>);

/// Guard of a launch in flight, which ends when this is dropped.
pub(super) struct OnItsWay {
    all: Underway,
    id: BuildId,
}

impl Underway {
    fn builds(&self) -> MutexGuard<'_, HashSet<BuildId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the start of a launch.
    pub(super) fn begin(&self, id: BuildId) -> OnItsWay {
        self.builds().insert(id);
        OnItsWay {
            all: self.clone(),
            id,
        }
    }

    /// Returns true if this process is launching the build.
    pub(super) fn has(&self, id: BuildId) -> bool {
        self.builds().contains(&id)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.all.builds().remove(&self.id);
    }
}
