//! Launches that this process has under way. What is seen of such a build's Job is looked at once the launch is
//! recorded: before, nothing may be written about it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::BuildId;

/// The builds that are being launched here.
#[derive(Debug, Clone, Default)]
pub(super) struct Underway(Arc<Mutex<HashSet<BuildId>>>);

/// A launch that is under way, until this is dropped.
pub(super) struct OnItsWay {
    all: Underway,
    id: BuildId,
}

impl Underway {
    fn builds(&self) -> MutexGuard<'_, HashSet<BuildId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A launch begins.
    pub(super) fn begin(&self, id: BuildId) -> OnItsWay {
        self.builds().insert(id);
        OnItsWay {
            all: self.clone(),
            id,
        }
    }

    /// Whether this build is being launched here.
    pub(super) fn has(&self, id: BuildId) -> bool {
        self.builds().contains(&id)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.all.builds().remove(&self.id);
    }
}
