//! Takes builds from the queue to their end: claims and launches them, observes what becomes of their Jobs, and
//! compares both sides so that nothing is lost.
//!
//! Every step looks at the world and does what is to be done; none relies on an earlier one having been finished.
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

/// How the dispatcher works.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many builds may run at once.
    pub slots: Slots,
    /// How long a launch may take before another replica takes it over.
    pub lease: Duration,
    /// Launches that this process asks for at once. Three times as many again are claimed, or recorded, meanwhile.
    pub launches: usize,
    /// How long a build may wait for a container to start.
    pub pending_deadline: Duration,
    /// How often a build that waits for a container is looked at, since events are not watched.
    pub waiting_recheck: Duration,
    /// How long a finished Job stays before it is deleted.
    pub job_grace: Duration,
    /// How often rows and Jobs are compared.
    pub reconcile_interval: Duration,
    /// How often a Job that vanished is made again before its build fails.
    pub max_relaunches: u32,
    /// The most bytes of log that are kept of one attempt.
    pub max_log_bytes: u64,
    /// The longest line that is kept of a log.
    pub max_log_line: usize,
    /// What no log may show, whatever the build.
    pub secrets: Arc<Known>,
    /// How builds reach the REST API, to fetch their contexts.
    pub internal_url: Url,
}

/// The dispatcher of one process. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    store: Store,
    launcher: Arc<dyn Launcher>,
    options: Options,
    /// For builds from their claim until their launch is recorded.
    launches: Arc<Semaphore>,
    /// For those whose launch is being asked for.
    calls: Semaphore,
    gate: Gate,
    outage: Outage,
    underway: Underway,
    followers: Followers,
    rechecks: Rechecks,
    strangers: Strangers,
    /// Whether this process observes: a nudge to one that does not would only be kept for nothing.
    observing: AtomicBool,
    /// Builds that the observer, if this process has the role, must look at.
    nudges: mpsc::UnboundedSender<BuildId>,
    nudged: tokio::sync::Mutex<mpsc::UnboundedReceiver<BuildId>>,
    /// Rows and Jobs must be compared before the interval is over.
    reconcile_now: Notify,
    tasks: Tasks,
}

impl Dispatcher {
    /// A dispatcher that does nothing yet.
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

    /// Works until `soft`; then finishes the launches and log writes that are under way, at the latest until `hard`.
    ///
    /// # Panics
    /// When one of its tasks has: the process must not go on without it.
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

    /// Waits until no launch and no log is under way: what one step led to has happened then.
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

    /// Has the observer of this process, if it is one, look at a build soon.
    fn nudge(&self, id: BuildId) {
        if self.0.observing.load(Ordering::Relaxed) {
            self.0
                .nudges
                .send(id)
                .expect("the receiver lives as long as the sender");
        }
    }
}
