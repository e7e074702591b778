//! Observes one build and records the observation.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Dispatcher, failures, launching::log_failure};
use crate::{
    domain::{AttemptState, BuildId, Cause, Outcome, Reason, Sighting, State, outcome::Advice},
    launcher::{LaunchError, LauncherError, pause_after},
    store::{OfJob, Recorded, StoreError},
};

/// Shortest delay before a build is observed again without a change.
const SOONEST_RECHECK: Duration = Duration::from_secs(1);

/// Result of an observation of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The build was observed and has not ended.
    GoesOn,
    /// The build's end was recorded.
    Ended,
    /// Neither a Job nor a pod of the build exists.
    Nothing,
    /// The build is not running (any more, or not yet), or runs by another Job: nothing was recorded.
    Stale,
    /// The launcher does not answer: the build must be observed again later.
    Unknown,
}

/// Builds with a planned observation, which takes place even if no watch reports a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Rechecks(Arc<Mutex<HashSet<BuildId>>>);

impl Rechecks {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<BuildId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatcher {
    /// Observes a build and records the observation.
    ///
    /// # Errors
    /// When the store cannot be written to: the next observation records the same.
    pub async fn observe_once(&self, id: BuildId) -> Result<Looked, StoreError> {
        match self.launcher().look(id).await {
            Ok(Some(sighting)) => {
                let sighting = self.without_secrets(id, &sighting).await?;
                self.record(id, &sighting).await
            }
            Ok(None) => Ok(Looked::Nothing),
            Err(error) => Ok(self.unanswered(id, &error)),
        }
    }

    fn unanswered(&self, id: BuildId, error: &LauncherError) -> Looked {
        tracing::debug!(build.id = %id, %error, "cannot be looked at; it is tried again");
        self.0.outage.noticed();
        self.recheck(id, self.options().waiting_recheck);
        Looked::Unknown
    }

    pub(super) async fn record(&self, id: BuildId, sighting: &Sighting) -> Result<Looked, StoreError> {
        let what = match &sighting.outcome {
            Outcome::Waiting { .. } => "waiting",
            Outcome::Running { .. } => "running",
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed(_) => "failed",
        };
        metrics::counter!("slipway_sightings_total", "outcome" => what).increment(1);
        self.follow_logs(id, sighting);
        if let Some(seen) = ended_by_deletion(sighting) {
            return self.record_progress(id, &seen).await;
        }
        match &sighting.outcome {
            Outcome::Succeeded { .. } | Outcome::Failed(_) => self.record_end(id, sighting).await,
            Outcome::Waiting { .. } | Outcome::Running { .. } => self.record_progress(id, sighting).await,
        }
    }

    async fn record_end(&self, id: BuildId, sighting: &Sighting) -> Result<Looked, StoreError> {
        let (attempts, retries) = (&sighting.attempts, sighting.failed_attempts);
        let outcome = self.with_what_is_known(id, sighting).await?;
        if !self
            .store()
            .finish(OfJob::seen(id, sighting), &outcome, attempts, retries)
            .await?
        {
            return Ok(Looked::Stale);
        }
        match &outcome {
            Outcome::Failed(failure) => log_failure(id, failure),
            _ => {
                metrics::counter!("slipway_builds_finished_total", "state" => "succeeded").increment(1);
                tracing::info!(build.id = %id, retries, "succeeded");
            }
        }
        Ok(Looked::Ended)
    }

    /// Returns the outcome to record. If no pod is left that shows the cause of a failure, it uses the
    /// failure that was recorded while the last pod existed.
    async fn with_what_is_known(&self, id: BuildId, sighting: &Sighting) -> Result<Outcome, StoreError> {
        let is_untold = sighting.attempts.is_empty()
            && matches!(&sighting.outcome, Outcome::Failed(failure) if failure.reason == Reason::Unknown);
        let known = match is_untold {
            true => self
                .store()
                .attempts(id)
                .await?
                .pop()
                .and_then(|last| last.failure),
            false => None,
        };
        Ok(known.map_or_else(|| sighting.outcome.clone(), Outcome::Failed))
    }

    async fn record_progress(&self, id: BuildId, sighting: &Sighting) -> Result<Looked, StoreError> {
        let (attempts, retries) = (&sighting.attempts, sighting.failed_attempts);
        let recorded = self
            .store()
            .observe(OfJob::seen(id, sighting), &sighting.outcome, attempts, retries)
            .await?;
        let Recorded::Yes { waiting_for } = recorded else {
            return Ok(Looked::Stale);
        };
        if let (Outcome::Waiting { .. }, Some(waited)) = (&sighting.outcome, waiting_for) {
            let waited = self.0.outage.since(waited);
            let mut deadline = self.options().pending_deadline;
            if waited >= deadline {
                deadline += self.pause(id).await?;
            }
            if waited >= deadline && !sighting.deleting {
                return self.past_deadline(id, waited).await;
            }
            let left = deadline.saturating_sub(waited).max(SOONEST_RECHECK);
            self.recheck(id, self.options().waiting_recheck.min(left));
        }
        self.follow_advice(id, sighting.advice).await?;
        Ok(Looked::GoesOn)
    }

    /// Returns how long no container is expected, because the cluster itself waits between two attempts.
    async fn pause(&self, id: BuildId) -> Result<Duration, StoreError> {
        let attempts = self.store().attempts(id).await?;
        let none_is_alive = attempts
            .iter()
            .all(|one| matches!(one.state, AttemptState::Succeeded | AttemptState::Failed));
        let failed = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        Ok(if none_is_alive {
            pause_after(failed)
        } else {
            Duration::ZERO
        })
    }

    /// Handles a build that has waited too long according to the watch. Its failure is final, so the backend
    /// itself is read first: a watch may trail, or may have been cut off.
    async fn past_deadline(&self, id: BuildId, waited: Duration) -> Result<Looked, StoreError> {
        match self.launcher().ask(id).await {
            Ok(Some(now)) if matches!(now.outcome, Outcome::Waiting { .. }) && !now.deleting => {
                self.give_up_waiting(id, &now, waited).await
            }
            // The build has started, or is gone.
            Ok(_) => {
                self.recheck(id, self.options().waiting_recheck);
                Ok(Looked::GoesOn)
            }
            Err(error) => Ok(self.unanswered(id, &error)),
        }
    }

    async fn give_up_waiting(
        &self,
        id: BuildId,
        sighting: &Sighting,
        waited: Duration,
    ) -> Result<Looked, StoreError> {
        let Outcome::Waiting { reason, message } = &sighting.outcome else {
            return Ok(Looked::GoesOn);
        };
        let failure = failures::pending_too_long(*reason, message.as_deref(), waited);
        let (attempts, retries) = (&sighting.attempts, sighting.failed_attempts);
        if !self
            .store()
            .give_up(
                OfJob::seen(id, sighting),
                &failure,
                Cause::PendingDeadline,
                attempts,
                retries,
            )
            .await?
        {
            return Ok(Looked::Stale);
        }
        log_failure(id, &failure);
        // Otherwise the Job could still start, long after the build was reported as failed.
        self.remove(id).await;
        Ok(Looked::Ended)
    }

    async fn follow_advice(&self, id: BuildId, advice: Advice) -> Result<(), StoreError> {
        match advice {
            Advice::None => {}
            Advice::StopRetrying => match self.launcher().stop_retrying(id).await {
                Ok(()) | Err(LauncherError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(build.id = %id, %error, "retries could not be stopped; it is tried again");
                    self.recheck(id, Duration::from_secs(1));
                }
            },
            Advice::StartAttempt(number) => self.start_attempt(id, number).await?,
        }
        Ok(())
    }

    async fn start_attempt(&self, id: BuildId, number: u32) -> Result<(), StoreError> {
        let Some(build) = self
            .store()
            .build(id)
            .await?
            .filter(|build| build.state == State::Running)
        else {
            return Ok(());
        };
        let started = async {
            let order = self.order(id, build.spec).await?;
            self.launcher().start_attempt(&order, number).await
        };
        match started.await {
            Ok(()) => tracing::info!(build.id = %id, attempt = number, "started another attempt"),
            Err(
                LaunchError::Unavailable(why) | LaunchError::NameConflict(why) | LaunchError::Refused(why),
            ) => {
                tracing::warn!(build.id = %id, attempt = number, why, "an attempt could not be started; it is tried again");
                self.recheck(id, self.options().waiting_recheck);
            }
        }
        Ok(())
    }

    /// Plans an observation of a build after `delay`, unless one is planned already.
    pub(super) fn recheck(&self, id: BuildId, delay: Duration) {
        if !self.0.rechecks.set().insert(id) {
            return;
        }
        // The task holds only what it needs, and no dispatcher: it must not keep one alive.
        let (rechecks, nudges) = (self.0.rechecks.clone(), self.0.nudges.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            rechecks.set().remove(&id);
            let _ = nudges.send(id);
        });
    }
}

/// Returns a waiting observation in place of a failure that the deletion of the Job may have caused. Slipway
/// itself does not delete the Job of a running build, so the end of its pod is then not the build's failure,
/// unless no deletion can cause such a reason. When nothing is left, the Job is created again.
fn ended_by_deletion(sighting: &Sighting) -> Option<Sighting> {
    let Outcome::Failed(failure) = &sighting.outcome else {
        return None;
    };
    (sighting.deleting && failure.reason.retryable()).then(|| Sighting {
        outcome: Outcome::Waiting {
            reason: None,
            message: Some("The build's Job is being deleted.".to_owned()),
        },
        advice: Advice::None,
        ..sighting.clone()
    })
}
