//! Jobs whose builds hold no slot: when they go.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Dispatcher;
use crate::{
    domain::{BuildId, Outcome, Sighting, State},
    store::{Standing, StoreError},
};

/// How long a Job that has ended, of a build that we do not know, stays.
const STRANGER_GRACE: Duration = Duration::from_secs(3600);
/// How much longer than its grace a Job stays whose log cannot be had.
const LOG_PATIENCE: Duration = Duration::from_secs(3600);

/// Jobs that bear our label and belong to no build that we know, and since when we have known that.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<BuildId, Instant>>);

impl Strangers {
    /// Forgets those that are gone.
    pub(super) fn retain(&self, listed: &[BuildId]) {
        self.seen().retain(|id, _| listed.contains(id));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<BuildId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has been known; `None` for the first time.
    fn known_for(&self, id: BuildId) -> Option<Duration> {
        let mut seen = self.seen();
        let known = seen.get(&id).map(Instant::elapsed);
        seen.entry(id).or_insert_with(Instant::now);
        known
    }
}

impl Dispatcher {
    /// Removes those of these Jobs that nobody needs any more: how many.
    pub(super) async fn clear_away(&self, ids: &[BuildId]) -> Result<usize, StoreError> {
        let standings = self.store().standings(ids).await?;
        let mut removed = 0;
        for id in ids {
            let unneeded = match standings.iter().find(|standing| standing.id == *id) {
                Some(standing) => self.is_unneeded(standing).await,
                None => self.is_old_stranger(*id).await,
            };
            if unneeded {
                self.remove(*id).await;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn is_unneeded(&self, standing: &Standing) -> bool {
        match standing.state {
            State::Succeeded | State::Failed => {}
            // Nobody waits for what it still does.
            State::Cancelled | State::Superseded | State::Expired => return true,
            // It was claimed since the rows were read, or waits for its next launch, which adopts the Job.
            State::Queued | State::Launching | State::Running | State::Cancelling => return false,
        }
        let Ok(Some(sighting)) = self.launcher().look(standing.id).await else {
            return false;
        };
        if !has_ended(&sighting) {
            // It was given up, and must not start after all.
            return true;
        }
        // Stores what is missing of its log, for which its pods must be there.
        self.follow_logs(standing.id, &sighting);
        let grace = self.options().job_grace;
        let past = standing.ended_for.unwrap_or_default();
        past >= grace && (!self.follows_logs_of(standing.id) || past >= grace + LOG_PATIENCE)
    }

    /// Such a Job may be of another installation that shares the namespace, or of a build that a restored database
    /// has forgotten. It is left alone while it works, and for some time after.
    async fn is_old_stranger(&self, id: BuildId) -> bool {
        let Some(known_for) = self.0.strangers.known_for(id) else {
            tracing::warn!(build.id = %id, job.name = id.job_name(), "a Job with our label belongs to no build that we know");
            return false;
        };
        known_for >= STRANGER_GRACE
            && matches!(self.launcher().look(id).await, Ok(Some(sighting)) if has_ended(&sighting))
    }
}

fn has_ended(sighting: &Sighting) -> bool {
    matches!(sighting.outcome, Outcome::Succeeded { .. } | Outcome::Failed(_))
}
