//! One replica at a time observes: it looks at every build that something may have happened to.

use std::{collections::HashMap, ops::ControlFlow, sync::atomic::Ordering, time::Duration};

use futures::StreamExt;
use rand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, backoff, sighted::Looked};
use crate::{
    domain::{BuildId, State},
    launcher::Change,
    store::{RoleLock, StoreError},
};

/// How often another replica tries to take the role over, and how often the holder makes sure that it has it.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// How soon a Job whose launch is not recorded yet is looked at again.
const LAUNCH_RECHECK: Duration = Duration::from_secs(1);
/// Looks that are under way at once: their ends are recorded together.
const LOOKS: usize = 128;

impl Dispatcher {
    /// Observes whenever no other replica does, until `soft`.
    pub(super) async fn run_observer(&self, soft: &CancellationToken) {
        let mut failed = 0;
        while !soft.is_cancelled() {
            let pause = match self.store().become_observer().await {
                Ok(Some(lock)) => {
                    failed = 0;
                    tracing::info!("observing");
                    self.observe_while_held(lock, soft).await;
                    Duration::ZERO
                }
                Ok(None) => {
                    failed = 0;
                    jittered(LOCK_INTERVAL)
                }
                Err(error) => {
                    if failed == 0 {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the observer's role cannot be asked for; trying again"
                        );
                    }
                    failed += 1;
                    backoff::delay(failed)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = soft.cancelled() => {}
            }
        }
    }

    async fn observe_while_held(&self, mut lock: RoleLock, soft: &CancellationToken) {
        let stop = soft.child_token();
        self.observes(true);
        let hold = async {
            while lock.held().await {
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
            tracing::warn!("the observer's role was lost");
        };
        let work = async {
            tokio::join!(
                self.run_looks(&stop),
                self.run_reconcile(&stop),
                self.run_cancels(&stop)
            )
        };
        tokio::select! {
            () = hold => {}
            _ = work => {}
            () = soft.cancelled() => {}
        }
        stop.cancel();
        self.observes(false);
    }

    fn observes(&self, observes: bool) {
        self.0.observing.store(observes, Ordering::Relaxed);
        metrics::gauge!("slipway_observer").set(if observes { 1.0 } else { 0.0 });
    }

    /// Looks at what the launcher reports and at what this process itself points at, each build once at a time.
    async fn run_looks(&self, stop: &CancellationToken) {
        let mut nudged = self.0.nudged.lock().await;
        let mut changes = self.launcher().changes();
        let mut looks = Looks::default();
        loop {
            let flow = tokio::select! {
                change = changes.next() => self.changed(change, &mut looks),
                id = nudged.recv() => {
                    id.into_iter().for_each(|id| looks.want(id));
                    ControlFlow::Continue(())
                }
                Some(done) = looks.running.join_next() => {
                    looks.ended(done.expect("a look does not panic"));
                    ControlFlow::Continue(())
                }
                () = stop.cancelled() => ControlFlow::Break(()),
            };
            if flow.is_break() {
                return;
            }
            looks.start(self);
        }
    }

    fn changed(&self, change: Option<Change>, looks: &mut Looks) -> ControlFlow<()> {
        match change {
            // It is looked at when its launch has been recorded.
            Some(Change::Build(id)) if self.0.underway.has(id) => {}
            Some(Change::Build(id)) => looks.want(id),
            Some(Change::Everything) => self.0.reconcile_now.notify_one(),
            None => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    async fn look_and_log(&self, id: BuildId) -> BuildId {
        let looked = match self.observe_once(id).await {
            Ok(Looked::Nothing) => self.nothing_left(id).await,
            Ok(Looked::Stale) => self.not_running(id).await,
            other => other.map(|_| ()),
        };
        if let Err(error) = looked {
            tracing::warn!(build.id = %id, error = &error as &dyn std::error::Error, "a sighting could not be recorded; it is seen again");
            tokio::time::sleep(backoff::delay(1)).await;
            self.nudge(id);
        }
        id
    }

    /// A build's Job has gone: what was wanted, for one that is cancelling, and a loss for one that runs.
    async fn nothing_left(&self, id: BuildId) -> Result<(), StoreError> {
        match self.store().build(id).await?.map(|build| build.state) {
            Some(State::Running) => self.0.reconcile_now.notify_one(),
            Some(State::Cancelling) => {
                self.see_cancel_through(id).await?;
            }
            Some(ended) if ended.is_terminal() => self.no_more_logs(id).await?,
            _ => {}
        }
        Ok(())
    }

    /// A Job was seen whose build does not run.
    async fn not_running(&self, id: BuildId) -> Result<(), StoreError> {
        match self.store().build(id).await?.map(|build| build.state) {
            // Another replica made the Job and is about to say so, or the next launch will adopt it: nothing may
            // change then that a watch would show.
            Some(State::Queued | State::Launching) => self.recheck(id, LAUNCH_RECHECK),
            Some(State::Cancelling) => {
                self.see_cancel_through(id).await?;
            }
            // Not by the Job that was seen.
            Some(State::Running) => self.0.reconcile_now.notify_one(),
            // A launch that came about too late.
            Some(State::Cancelled | State::Superseded | State::Expired) => {
                self.clear_away(&[id]).await?;
            }
            Some(State::Succeeded | State::Failed) | None => {}
        }
        Ok(())
    }
}

/// The builds to look at. A build that changes while it is looked at is looked at once more.
#[derive(Default)]
struct Looks {
    running: JoinSet<BuildId>,
    /// What is wanted or under way; true when it changed since its look began.
    builds: HashMap<BuildId, bool>,
    waiting: std::collections::VecDeque<BuildId>,
}

impl Looks {
    fn want(&mut self, id: BuildId) {
        match self.builds.get_mut(&id) {
            Some(changed) => *changed = true,
            None => {
                self.builds.insert(id, false);
                self.waiting.push_back(id);
            }
        }
    }

    fn ended(&mut self, id: BuildId) {
        if self.builds.remove(&id) == Some(true) {
            self.want(id);
        }
    }

    fn start(&mut self, dispatcher: &Dispatcher) {
        while self.running.len() < LOOKS {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            // Changes that came before the look begins are covered by it.
            self.builds.insert(id, false);
            let dispatcher = dispatcher.clone();
            // Boxed, since spawning moves a future several times, and this is a large one.
            self.running
                .spawn(Box::pin(async move { dispatcher.look_and_log(id).await }));
        }
    }
}

/// Somewhat more or less than `interval`, so that replicas do not move in step.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.8..1.2))
}
