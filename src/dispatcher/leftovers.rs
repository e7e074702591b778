//! Orphan collection: removes Jobs whose builds hold no slot.

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

/// Time for which the Job of an unknown build is kept, from its first observation on.
const STRANGER_GRACE: Duration = Duration::from_secs(3600);
/// Additional time for which a Job is kept while its log is still being read.
const LOG_PATIENCE: Duration = Duration::from_secs(3600);

/// Jobs with our label that belong to no known build, each with the time at which this was first noticed.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<BuildId, Instant>>);

impl Strangers {
    /// Forgets Jobs that are no longer listed.
    pub(super) fn retain(&self, listed: &[BuildId]) {
        self.seen().retain(|id, _| listed.contains(id));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<BuildId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the Job was first noticed. The first time, it notes the Job and returns `None`.
    fn known_for(&self, id: BuildId) -> Option<Duration> {
        let mut seen = self.seen();
        let known = seen.get(&id).map(Instant::elapsed);
        seen.entry(id).or_insert_with(Instant::now);
        known
    }
}

impl Dispatcher {
    /// Removes those of these Jobs that are no longer needed. Returns their number.
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
            // The result of the Job is not needed.
            State::Cancelled | State::Superseded | State::Expired => return true,
            // The build was claimed after the rows were read, or waits for its next launch, which adopts the
            // Job.
            State::Queued | State::Launching | State::Running | State::Cancelling => return false,
        }
        let Ok(Some(sighting)) = self.launcher().look(standing.id).await else {
            return false;
        };
        if !has_ended(&sighting) {
            // The dispatcher gave the build up, so its Job must not start any more.
            return true;
        }
        // Stores the rest of its log, which requires its pods.
        self.follow_logs(standing.id, &sighting);
        let grace = self.options().job_grace;
        let past = standing.ended_for.unwrap_or_default();
        past >= grace && (!self.follows_logs_of(standing.id) || past >= grace + LOG_PATIENCE)
    }

    /// Returns true if the Job of an unknown build may be removed. It may belong to another installation that
    /// shares the namespace, or to a build that a restored database lacks. Therefore it is kept while it
    /// runs, and for `STRANGER_GRACE` in any case.
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
