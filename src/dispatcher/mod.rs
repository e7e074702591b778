//! Takes builds from the queue to their end: claims and launches them, observes their Jobs, and reconciles
//! rows with Jobs so that no build is lost.
//!
//! Every step reads the current state and does what is due; none relies on an earlier one having finished.
//! Killing the process between any two lines therefore costs time, and nothing else.

mod backoff;
mod cancelling;
mod failures;
mod gate;
mod launching;
mod leftovers;
mod logs;
mod masked;
mod measured;
mod observer;
mod outage;
mod presence;
mod reconcile;
mod sighted;
mod steps;
mod tasks;
mod underway;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    gate::Gate, leftovers::Strangers, logs::Followers, outage::Outage, sighted::Rechecks, tasks::Tasks,
    underway::Underway,
};
use crate::{
    domain::{BuildId, log::Known},
    launcher::Launcher,
    store::{Slots, Store},
};

/// Options of the dispatcher.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits of the number of builds that run at once.
    pub slots: Slots,
    /// Longest time that a launch may take before another replica takes it over.
    pub lease: Duration,
    /// Number of concurrent launcher calls of this process. Up to three times as many further builds are
    /// claimed or being recorded meanwhile.
    pub launches: usize,
    /// Longest time that a build may wait for a container to start.
    pub pending_deadline: Duration,
    /// Interval at which a build that waits for a container is observed again, even without a reported
    /// change.
    pub waiting_recheck: Duration,
    /// Time for which a finished Job is kept before it is deleted.
    pub job_grace: Duration,
    /// Interval at which rows and Jobs are compared.
    pub reconcile_interval: Duration,
    /// Number of times that a vanished Job is created again before its build fails.
    pub max_relaunches: u32,
    /// Upper bound of the stored log of one attempt, in bytes.
    pub max_log_bytes: u64,
    /// Upper bound of a stored line of a log, in bytes.
    pub max_log_line: usize,
    /// Secrets that are masked in the logs of every build.
    pub secrets: Arc<Known>,
    /// URL at which builds reach the REST API, to fetch their contexts.
    pub internal_url: Url,
}

/// Dispatcher of one process. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    store: Store,
    launcher: Arc<dyn Launcher>,
    options: Options,
    /// Permits for builds between their claim and the record of their launch.
    launches: Arc<Semaphore>,
    /// Permits for concurrent launcher calls.
    calls: Semaphore,
    gate: Gate,
    outage: Outage,
    underway: Underway,
    followers: Followers,
    rechecks: Rechecks,
    strangers: Strangers,
    /// `true` while this process is the observer. Otherwise nudges are not sent, because they would only
    /// accumulate.
    observing: AtomicBool,
    /// Sender of builds that the observer must observe, if this process has the role.
    nudges: mpsc::UnboundedSender<BuildId>,
    nudged: tokio::sync::Mutex<mpsc::UnboundedReceiver<BuildId>>,
    /// Signal that rows and Jobs must be compared before the interval is over.
    reconcile_now: Notify,
    tasks: Tasks,
}

impl Dispatcher {
    /// Creates a dispatcher; [`Dispatcher::run`] starts it.
    pub fn new(store: Store, launcher: Arc<dyn Launcher>, options: Options) -> Self {
        measured::describe();
        let (nudges, nudged) = mpsc::unbounded_channel();
        Self(Arc::new(Inner {
            store,
            launcher,
            launches: Arc::new(Semaphore::new(launching::underway(options.launches))),
            calls: Semaphore::new(options.launches),
            options,
            gate: Gate::default(),
            outage: Outage::default(),
            underway: Underway::default(),
            followers: Followers::default(),
            rechecks: Rechecks::default(),
            strangers: Strangers::default(),
            observing: AtomicBool::new(false),
            nudges,
            nudged: tokio::sync::Mutex::new(nudged),
            reconcile_now: Notify::new(),
            tasks: Tasks::default(),
        }))
    }

    /// Works until `soft` is cancelled, then finishes the launches and log writes in flight, until `hard` at
    /// the latest.
    ///
    /// # Panics
    /// When one of its tasks has panicked: the process must not continue without it.
    pub async fn run(self, soft: CancellationToken, hard: CancellationToken) {
        let work = async {
            tokio::join!(
                self.run_claims(&soft),
                self.run_observer(&soft),
                self.run_presence(&soft)
            );
            self.0.followers.stop();
            self.0.tasks.all_ended().await;
        };
        tokio::select! {
            () = work => {}
            () = hard.cancelled() => {}
            () = self.0.tasks.panic() => panic!("a task of the dispatcher panicked"),
        }
    }

    /// Waits until no launch and no log copy is in flight, so that everything that one step started is done.
    pub async fn settled(&self) {
        self.0.tasks.all_ended().await;
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn launcher(&self) -> &Arc<dyn Launcher> {
        &self.0.launcher
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    /// Requests an observation of a build, if this process is the observer.
    fn nudge(&self, id: BuildId) {
        if self.0.observing.load(Ordering::Relaxed) {
            self.0
                .nudges
                .send(id)
                .expect("the receiver lives as long as the sender");
        }
    }
}
