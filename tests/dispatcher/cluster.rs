//! A cluster made of memory: Jobs as levels that a test sets, and faults that it switches on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use slipway::{
    domain::{AttemptSeen, BuildId, Digest, Failure, Outcome, Phase, Reason, Sighting, outcome::Advice},
    launcher::{Change, LaunchError, Launched, Launcher, LauncherError, Order},
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// The one cluster of a test. Every dispatcher of the test holds it.
pub struct Cluster {
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
    /// Where a test holds calls that create, until it lets them go on.
    pub gate: tokio::sync::RwLock<()>,
    /// Where a test holds looks that have seen already, until it lets them go on.
    looking: tokio::sync::RwLock<()>,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<BuildId, Job>,
    made: u64,
    faults: Faults,
    calls: Vec<Call>,
    orders: BTreeMap<BuildId, Order>,
    looks: BTreeMap<BuildId, usize>,
    /// What a watch shows of Jobs that it fell behind with.
    behind: BTreeMap<BuildId, Sighting>,
}

/// What goes wrong, until a test says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Nothing answers.
    pub down: bool,
    /// Jobs are created, and the answer is lost.
    pub answers_lost: bool,
    /// The launcher itself is broken.
    pub panics: bool,
    /// Jobs are refused.
    pub refused: bool,
    /// These names belong to somebody else's Jobs.
    pub strangers: BTreeSet<BuildId>,
    /// Removal takes until the test ends it.
    pub pods_linger: bool,
    /// Removals are not answered.
    pub removals_fail: bool,
    /// Logs are not given.
    pub logs_fail: bool,
}

/// What was asked of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A Job was created.
    Created(BuildId),
    /// A Job was found and adopted.
    Adopted(BuildId),
    /// No further attempt is to be made.
    StopRetrying(BuildId),
    /// An attempt was started.
    StartAttempt(BuildId, u32),
    /// A Job was removed.
    Removed(BuildId),
    /// A log was read, from this byte.
    Log(String, u64),
}

#[derive(Clone)]
struct Job {
    sighting: Sighting,
    logs: BTreeMap<String, (Vec<u8>, bool)>,
}

impl Cluster {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changes: broadcast::channel(1024).0,
            gate: tokio::sync::RwLock::new(()),
            looking: tokio::sync::RwLock::new(()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn created(&self, id: BuildId) -> usize {
        self.calls()
            .iter()
            .filter(|call| **call == Call::Created(id))
            .count()
    }

    pub fn jobs(&self) -> Vec<BuildId> {
        self.state().jobs.keys().copied().collect()
    }

    pub fn has(&self, id: BuildId) -> bool {
        self.state().jobs.contains_key(&id)
    }

    pub fn order(&self, id: BuildId) -> Order {
        self.state().orders[&id].clone()
    }

    pub fn looks(&self, id: BuildId) -> usize {
        self.state().looks.get(&id).copied().unwrap_or_default()
    }

    /// The watch shows no more of the Job than what there is now.
    pub fn falls_behind(&self, id: BuildId) {
        let mut state = self.state();
        let now = state.jobs[&id].sighting.clone();
        state.behind.insert(id, now);
    }

    /// Looks that see, and do not come back until this is dropped.
    pub async fn hold_looks(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.looking.write().await
    }

    /// Somebody deletes the Job and makes one like it.
    pub fn is_replaced(&self, id: BuildId) {
        let mut state = self.state();
        state.made += 1;
        let uid = format!("job{}", state.made);
        let job = state.jobs.get_mut(&id).expect("the build has a Job");
        job.sighting = unstarted(uid);
        job.logs.clear();
    }

    pub fn is_running(&self, id: BuildId) -> bool {
        self.state().jobs[&id]
            .sighting
            .attempts
            .last()
            .is_some_and(|last| last.running)
    }

    pub fn is_unstarted(&self, id: BuildId) -> bool {
        self.state().jobs[&id].sighting.attempts.is_empty()
    }

    fn job(&self, id: BuildId, change: impl FnOnce(&mut Job)) {
        change(self.state().jobs.get_mut(&id).expect("the build has a Job"));
        let _ = self.changes.send(Change::Build(id));
    }

    /// Its first, or next, pod runs.
    pub fn starts(&self, id: BuildId) -> String {
        let mut name = String::new();
        self.job(id, |job| {
            name = format!("{}-{}", job.sighting.external_id, job.sighting.attempts.len() + 1);
            job.sighting.attempts.push(attempt(&name));
            job.logs.insert(name.clone(), (Vec::new(), false));
            job.sighting.outcome = Outcome::Running {
                phase: Phase::Building,
            };
        });
        name
    }

    pub fn prints(&self, id: BuildId, text: &str) {
        self.prints_bytes(id, text.as_bytes());
    }

    pub fn prints_bytes(&self, id: BuildId, bytes: &[u8]) {
        self.job(id, |job| {
            let last = job.logs.values_mut().next_back().expect("an attempt runs");
            last.0.extend_from_slice(bytes);
        });
    }

    pub fn succeeds(&self, id: BuildId) {
        self.job(id, |job| {
            end(job, Some(0), None);
            job.sighting.outcome = Outcome::Succeeded {
                digest: Some(digest()),
            };
        });
    }

    /// The running pod fails. The Job fails with it, unless its retries go on.
    pub fn fails(&self, id: BuildId, reason: Reason, goes_on: bool, advice: Advice) {
        self.job(id, |job| {
            let failure = Failure {
                exit_code: Some(1),
                ..Failure::new(reason, "it failed")
            };
            end(job, Some(1), Some(failure.clone()));
            job.sighting.failed_attempts += 1;
            job.sighting.advice = advice;
            job.sighting.outcome = if goes_on {
                Outcome::Waiting {
                    reason: None,
                    message: None,
                }
            } else {
                Outcome::Failed(failure)
            };
        });
    }

    /// The Job has failed, and none of its pods is left to tell why.
    pub fn forgets_its_pods(&self, id: BuildId) {
        self.job(id, |job| {
            job.sighting.attempts.clear();
            job.sighting.outcome = Outcome::Failed(Failure::new(Reason::Unknown, "no pod is left"));
        });
    }

    /// What the last attempt's failure says.
    pub fn says(&self, id: BuildId, message: &str, snippet: &str) {
        let failure = Failure {
            log_snippet: Some(snippet.to_owned()),
            ..Failure::new(Reason::BuildStepFailed, message)
        };
        self.job(id, |job| {
            let last = job.sighting.attempts.last_mut().expect("an attempt ran");
            last.failure = Some(failure.clone());
            if let Outcome::Failed(said) = &mut job.sighting.outcome {
                *said = failure;
            }
        });
    }

    pub fn waits(&self, id: BuildId, reason: Reason, message: &str) {
        self.job(id, |job| {
            job.sighting.outcome = Outcome::Waiting {
                reason: Some(reason),
                message: Some(message.to_owned()),
            };
        });
    }

    /// Somebody deletes the Job; its pod is being stopped.
    pub fn is_being_deleted(&self, id: BuildId) {
        self.job(id, |job| job.sighting.deleting = true);
    }

    /// Somebody deletes the Job and leaves its pod, which nobody owns any more.
    pub fn is_orphaned(&self, id: BuildId) {
        self.job(id, |job| job.sighting.external_id = String::new());
    }

    /// Nothing is left of it, by whatever hand.
    pub fn vanishes(&self, id: BuildId) {
        self.state().jobs.remove(&id);
        let _ = self.changes.send(Change::Build(id));
    }

    fn up(&self) -> Result<(), LauncherError> {
        match self.state().faults.down {
            true => Err(LauncherError::Unavailable("nothing answers".to_owned())),
            false => Ok(()),
        }
    }

    fn create(&self, order: &Order) -> Result<Launched, LaunchError> {
        let mut state = self.state();
        assert!(!state.faults.panics, "on purpose");
        if state.faults.down {
            return Err(LaunchError::Unavailable("nothing answers".to_owned()));
        }
        if state.faults.refused {
            return Err(LaunchError::Refused("forbidden".to_owned()));
        }
        if state.faults.strangers.contains(&order.id) {
            return Err(LaunchError::NameConflict(order.id.job_name()));
        }
        let adopted = state.jobs.contains_key(&order.id);
        if !adopted {
            state.made += 1;
            let uid = format!("job{}", state.made);
            state.jobs.insert(
                order.id,
                Job {
                    sighting: unstarted(uid),
                    logs: BTreeMap::new(),
                },
            );
            state.orders.insert(order.id, order.clone());
        }
        state.calls.push(if adopted {
            Call::Adopted(order.id)
        } else {
            Call::Created(order.id)
        });
        let external_id = state.jobs[&order.id].sighting.external_id.clone();
        if state.faults.answers_lost {
            return Err(LaunchError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(Launched { external_id, adopted })
    }
}

fn end(job: &mut Job, exit_code: Option<i32>, failure: Option<Failure>) {
    let last = job.sighting.attempts.last_mut().expect("an attempt runs");
    last.running = false;
    last.exit_code = exit_code;
    last.succeeded = failure.is_none();
    last.failure = failure;
    last.finished_at = Some("2026-11-24T00:01:00Z".parse().expect("a time"));
    job.logs.get_mut(&last.name).expect("it has a log").1 = true;
}

fn unstarted(uid: String) -> Sighting {
    Sighting {
        external_id: uid,
        outcome: Outcome::Waiting {
            reason: None,
            message: None,
        },
        attempts: Vec::new(),
        failed_attempts: 0,
        deleting: false,
        advice: Advice::None,
    }
}

fn attempt(name: &str) -> AttemptSeen {
    AttemptSeen {
        name: name.to_owned(),
        node: Some("node-1".to_owned()),
        started_at: Some("2026-11-24T00:00:00Z".parse().expect("a time")),
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    }
}

pub fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().expect("a digest")
}

/// Where a caller that is killed may be killed.
async fn step() {
    tokio::task::yield_now().await;
}

#[async_trait]
impl Launcher for Cluster {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        let _open = self.gate.read().await;
        step().await;
        let launched = self.create(order);
        step().await;
        let _ = self.changes.send(Change::Build(order.id));
        launched
    }

    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        step().await;
        self.up()?;
        let seen = {
            let mut state = self.state();
            *state.looks.entry(id).or_default() += 1;
            let now = state.jobs.get(&id).map(|job| &job.sighting);
            state.behind.get(&id).or(now).cloned()
        };
        let _open = self.looking.read().await;
        Ok(seen)
    }

    async fn ask(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        step().await;
        self.up()?;
        Ok(self.state().jobs.get(&id).map(|job| job.sighting.clone()))
    }

    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        step().await;
        self.up()?;
        Ok(self.jobs())
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let later =
            BroadcastStream::new(self.changes.subscribe()).map(|change| change.unwrap_or(Change::Everything));
        stream::iter([Change::Everything]).chain(later).boxed()
    }

    async fn stop_retrying(&self, id: BuildId) -> Result<(), LauncherError> {
        step().await;
        self.up()?;
        self.state().calls.push(Call::StopRetrying(id));
        Ok(())
    }

    async fn start_attempt(&self, order: &Order, number: u32) -> Result<(), LaunchError> {
        step().await;
        self.state().calls.push(Call::StartAttempt(order.id, number));
        Ok(())
    }

    async fn remove(&self, id: BuildId) -> Result<(), LauncherError> {
        step().await;
        self.up()?;
        let mut state = self.state();
        if state.faults.removals_fail {
            return Err(LauncherError::Unavailable(
                "the removal was not answered".to_owned(),
            ));
        }
        let Some(job) = state.jobs.get_mut(&id) else {
            return Err(LauncherError::NotFound("no such Job".to_owned()));
        };
        job.sighting.deleting = true;
        let lingers = state.faults.pods_linger;
        state.calls.push(Call::Removed(id));
        if !lingers {
            state.jobs.remove(&id);
        }
        drop(state);
        let _ = self.changes.send(Change::Build(id));
        Ok(())
    }

    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        step().await;
        self.up()?;
        let mut state = self.state();
        if state.faults.logs_fail {
            return Err(LauncherError::Unavailable("the log is not given".to_owned()));
        }
        state.calls.push(Call::Log(attempt.to_owned(), from));
        let job = state
            .jobs
            .get(&id)
            .ok_or_else(|| LauncherError::NotFound("no such Job".to_owned()))?;
        let (text, _ended) = job
            .logs
            .get(attempt)
            .ok_or_else(|| LauncherError::NotFound("no such pod".to_owned()))?;
        // What there is now, and then the end: a connection that breaks off cleanly in the middle of a running pod
        // is the same to whoever reads it.
        let from = usize::try_from(from).expect("a small number").min(text.len());
        let rest: Vec<_> = text[from..]
            .chunks(1000)
            .map(|part| Ok(Bytes::copy_from_slice(part)))
            .collect();
        Ok(stream::iter(rest).boxed())
    }

    async fn ready(&self) -> Result<(), LauncherError> {
        step().await;
        self.up()
    }
}
