//! Observes builds. One replica at a time has the role, and observes every build that may have changed.

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

/// Interval at which other replicas try to take the role over, and at which the holder checks that it still
/// has it.
const LOCK_INTERVAL: Duration = Duration::from_secs(2);
/// Delay before a Job whose launch is not recorded yet is observed again.
const LAUNCH_RECHECK: Duration = Duration::from_secs(1);
/// Number of concurrent observations; their results share group commits.
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

    /// Observes the builds that the launcher reports and those that this process requests, with at most one
    /// observation per build at a time.
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
            // The build is observed when its launch has been recorded.
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

    /// Handles a build whose Job is gone: this is expected for a cancelling build, and a loss for a running
    /// one.
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

    /// Handles an observed Job whose build is not running.
    async fn not_running(&self, id: BuildId) -> Result<(), StoreError> {
        match self.store().build(id).await?.map(|build| build.state) {
            // Another replica created the Job and is about to record it, or the next launch will adopt it.
            // Neither causes a change that a watch would report.
            Some(State::Queued | State::Launching) => self.recheck(id, LAUNCH_RECHECK),
            Some(State::Cancelling) => {
                self.see_cancel_through(id).await?;
            }
            // The build runs by another Job than the observed one.
            Some(State::Running) => self.0.reconcile_now.notify_one(),
            // The Job was created after the build had ended.
            Some(State::Cancelled | State::Superseded | State::Expired) => {
                self.clear_away(&[id]).await?;
            }
            Some(State::Succeeded | State::Failed) | None => {}
        }
        Ok(())
    }
}

/// Builds to observe. A build that changes during its observation is observed once more.
#[derive(Default)]
struct Looks {
    running: JoinSet<BuildId>,
    /// Builds that wait for an observation or are being observed; `true` if the build has changed since its
    /// observation began.
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
            // The observation covers the changes that came before its start.
            self.builds.insert(id, false);
            let dispatcher = dispatcher.clone();
            // Boxed, because spawning moves a future several times, and this is a large one.
            self.running
                .spawn(Box::pin(async move { dispatcher.look_and_log(id).await }));
        }
    }
}

/// Returns `interval`, changed by up to 20 %, so that replicas do not act at the same time.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.8..1.2))
}
