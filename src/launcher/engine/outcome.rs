//! Derives the observation of a build from its containers. Pure, so that every case can be tested.

use jiff::{SignedDuration, Timestamp};

use crate::domain::{
    AttemptSeen, Digest, Failure, Outcome, Phase, Reason, Sighting, kaniko_log, outcome::Advice,
};

/// Exit code of a process that was killed with SIGKILL.
const KILLED: i32 = 137;

/// Container of one attempt as the engine reports it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The container's id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// Number of the attempt, counted from 1.
    pub number: u32,
    /// Id of the first attempt's container; absent on that container itself.
    pub first: Option<String>,
    /// Number of failed attempts that are followed by another one.
    pub max_retries: u32,
    /// Timeout of the attempt.
    pub timeout: SignedDuration,
    /// Time at which the container started.
    pub started_at: Option<Timestamp>,
    /// State of the container.
    pub status: Status,
}

/// State of a container.
#[derive(Debug, Clone)]
pub enum Status {
    /// The container has not started (yet).
    Created,
    /// The container runs.
    Running {
        /// Phase that the build has reached.
        phase: Phase,
    },
    /// The container has ended.
    Ended(End),
    /// The engine is removing the container.
    Removing,
}

/// End of a container.
#[derive(Debug, Clone)]
pub struct End {
    /// The container's exit code; 0 means success.
    pub exit_code: i32,
    /// `true` if the kernel killed one of its processes because it ran out of memory.
    pub oom_killed: bool,
    /// The engine's message if the container could not be started; empty otherwise.
    pub error: String,
    /// Time at which the container ended.
    pub finished_at: Option<Timestamp>,
    /// Digest that the container left, read if it succeeded.
    pub digest: Option<Digest>,
    /// End of its log, read if it failed.
    pub log: Vec<u8>,
}

impl End {
    /// Returns the reason and the message for a container that started and ended with an exit code other than
    /// 0.
    fn reason(&self) -> (Reason, String) {
        let verdict =
            kaniko_log::classify(&self.log, Some(self.exit_code)).map(|one| (one.reason, one.message));
        match verdict {
            // A failed step or a killed kaniko is attributed to memory; any other reason stands.
            None | Some((Reason::BuildStepFailed | Reason::Unknown, _)) if self.oom_killed => (
                Reason::OutOfMemory,
                "The build used more memory than its limit.".to_owned(),
            ),
            Some(verdict) => verdict,
            None if self.exit_code == KILLED => {
                (Reason::Unknown, "The builder was killed (SIGKILL).".to_owned())
            }
            None => {
                let code = self.exit_code;
                (
                    Reason::Unknown,
                    format!("The builder ended with exit code {code}, and its log does not say why."),
                )
            }
        }
    }
}

impl Seen {
    /// Returns the time at which the attempt reaches its timeout; `None` unless it runs.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            Status::Running { .. } => self.started_at?.checked_add(self.timeout).ok(),
            _ => None,
        }
    }

    fn failure(&self) -> Option<Failure> {
        let Status::Ended(end) = &self.status else {
            return None;
        };
        if end.exit_code == 0 {
            return None;
        }
        let (reason, words) = if !end.error.is_empty() {
            (
                Reason::LaunchFailed,
                format!("The container could not be started: {}", end.error),
            )
        } else if end.exit_code == KILLED && self.ran_out_of_time(end) {
            (
                Reason::TimedOut,
                "The build took longer than its timeout.".to_owned(),
            )
        } else {
            end.reason()
        };
        Some(Failure {
            reason,
            message: kaniko_log::message(&words),
            exit_code: Some(end.exit_code),
            log_snippet: kaniko_log::snippet(&end.log),
        })
    }

    fn ran_out_of_time(&self, end: &End) -> bool {
        match (self.started_at, end.finished_at) {
            (Some(start), Some(finish)) => finish.duration_since(start) >= self.timeout,
            _ => false,
        }
    }

    fn attempt(&self) -> AttemptSeen {
        let end = match &self.status {
            Status::Ended(end) => Some(end),
            _ => None,
        };
        AttemptSeen {
            name: self.name.clone(),
            node: None,
            started_at: self.started_at,
            finished_at: end.and_then(|end| end.finished_at),
            exit_code: end.map(|end| end.exit_code),
            failure: self.failure(),
            running: matches!(self.status, Status::Running { .. }),
            succeeded: end.is_some_and(|end| end.exit_code == 0),
        }
    }
}

/// Observation of a build's containers, and the time at which to observe them again even without an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The observation.
    pub sighting: Sighting,
    /// Time at which the next attempt may start, if one is pending.
    pub retry_at: Option<Timestamp>,
}

/// Derives the observation from a build's containers, oldest attempt first. `None` if there are none.
///
/// `delay` is the pause before the second attempt; it doubles with each further one, as in Kubernetes.
pub fn sighting(seen: &[Seen], delay: SignedDuration, now: Timestamp) -> Option<Verdict> {
    let (first, last) = (seen.first()?, seen.last()?);
    let attempts: Vec<AttemptSeen> = seen.iter().map(Seen::attempt).collect();
    let failed = attempts
        .iter()
        .filter(|attempt| attempt.failure.is_some())
        .count();
    let mut retry_at = None;
    let mut advice = Advice::None;
    let outcome = match (&last.status, last.failure()) {
        (Status::Created | Status::Removing, _) => waiting(None),
        (Status::Running { phase }, _) => Outcome::Running { phase: *phase },
        (Status::Ended(end), None) => Outcome::Succeeded {
            digest: end.digest.clone(),
        },
        (Status::Ended(end), Some(failure)) => {
            if failure.reason.retryable() && last.number <= last.max_retries {
                let due = turn(end.finished_at.unwrap_or(now), delay, last.number);
                if due <= now {
                    advice = Advice::StartAttempt(last.number + 1);
                } else {
                    retry_at = Some(due);
                }
                waiting(Some(format!(
                    "attempt {} failed: {}",
                    last.number, failure.message
                )))
            } else {
                Outcome::Failed(failure)
            }
        }
    };
    let sighting = Sighting {
        external_id: first.first.clone().unwrap_or_else(|| first.id.clone()),
        outcome,
        attempts,
        failed_attempts: u32::try_from(failed).unwrap_or(u32::MAX),
        deleting: seen.iter().any(|one| matches!(one.status, Status::Removing)),
        advice,
    };
    Some(Verdict { sighting, retry_at })
}

fn waiting(message: Option<String>) -> Outcome {
    Outcome::Waiting {
        reason: None,
        message,
    }
}

/// Returns the time at which attempt `number + 1` may start: `delay` after attempt 1, twice that after
/// attempt 2, and so on, up to 6 minutes, the upper bound in the Kubernetes documentation.
fn turn(finished_at: Timestamp, delay: SignedDuration, number: u32) -> Timestamp {
    let factor = 1_i32 << number.saturating_sub(1).min(10);
    let pause = delay
        .checked_mul(factor)
        .unwrap_or(SignedDuration::MAX)
        .min(SignedDuration::from_mins(6));
    finished_at.checked_add(pause).unwrap_or(finished_at)
}

#[cfg(test)]
mod tests;
