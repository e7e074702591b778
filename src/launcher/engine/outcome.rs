//! What the containers of a build amount to: pure, so that every case is a test.

use jiff::{SignedDuration, Timestamp};

use crate::domain::{
    AttemptSeen, Digest, Failure, Outcome, Phase, Reason, Sighting, kaniko_log, outcome::Advice,
};

/// Exit code of a process that was killed with SIGKILL.
const KILLED: i32 = 137;

/// One attempt's container as the engine shows it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Which attempt it is, counted from 1.
    pub number: u32,
    /// The id of the first attempt's container, on all but that one.
    pub first: Option<String>,
    /// How many failed attempts are followed by another one.
    pub max_retries: u32,
    /// How long it may run.
    pub timeout: SignedDuration,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// How it stands.
    pub status: Status,
}

/// How a container stands.
#[derive(Debug, Clone)]
pub enum Status {
    /// It has not started (yet).
    Created,
    /// It runs.
    Running {
        /// How far it has come.
        phase: Phase,
    },
    /// It has ended.
    Ended(End),
    /// The engine is taking it away.
    Removing,
}

/// How a container ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The verdict.
    pub exit_code: i32,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// Why it could not be started, in the engine's words; empty where it could.
    pub error: String,
    /// When.
    pub finished_at: Option<Timestamp>,
    /// The digest that it left, read where it ended well.
    pub digest: Option<Digest>,
    /// The end of its log, read where it failed.
    pub log: Vec<u8>,
}

impl End {
    /// Of a container that started, and ended with another exit code than 0.
    fn reason(&self) -> (Reason, String) {
        let verdict =
            kaniko_log::classify(&self.log, Some(self.exit_code)).map(|one| (one.reason, one.message));
        match verdict {
            // A step that fails, or kaniko killed, has to do with memory; any other reason stands for itself.
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
    /// When the attempt has run long enough; `None` while it does not run.
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

/// What was made of a build's containers, and when to look again although nothing may have changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is to be seen.
    pub sighting: Sighting,
    /// When the next attempt may start, where one waits for its turn.
    pub retry_at: Option<Timestamp>,
}

/// Puts a build's containers, oldest attempt first, together. `None` where there are none.
///
/// `delay` is the pause before the second attempt; each further one doubles it, as Kubernetes does.
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

/// When attempt `number + 1` may start: the delay after attempt 1, twice that after attempt 2, and so on, up to the
/// six minutes at which Kubernetes stops doubling.
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
