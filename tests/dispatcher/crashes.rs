//! Killed at any moment, a dispatcher loses nothing and doubles nothing: random histories, each from a seed that a
//! failure names.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use slipway::{
    dispatcher::Dispatcher,
    domain::{BuildId, Reason, State, outcome::Advice},
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::dispatcher::world::{World, options};

const SEEDS: u64 = 25;
const STEPS: usize = 60;

#[sqlx::test(migrations = false)]
async fn killed_at_any_moment_nothing_is_lost_and_nothing_doubled(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    for seed in 0..SEEDS {
        let mut history = History::begin(&world, seed).await;
        for _ in 0..STEPS {
            history.step().await;
            history.holds(&world).await;
        }
        history.recovers(&world).await;
    }
}

struct History<'a> {
    world: &'a World,
    seed: u64,
    random: StdRng,
    builds: Vec<BuildId>,
    dispatcher: Dispatcher,
    /// Jobs that somebody else deleted.
    deleted: BTreeMap<BuildId, usize>,
    ended: BTreeMap<BuildId, State>,
}

impl<'a> History<'a> {
    async fn begin(world: &'a World, seed: u64) -> Self {
        let mut builds = Vec::new();
        for _ in 0..5 {
            builds.push(world.submit().await);
        }
        Self {
            world,
            seed,
            random: StdRng::seed_from_u64(seed),
            builds,
            dispatcher: Dispatcher::new(world.store.clone(), world.cluster.clone(), options()),
            deleted: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    async fn step(&mut self) {
        let build = *self.builds.choose(&mut self.random).expect("there are builds");
        match self.random.random_range(0..10) {
            0 => self.world.time_passes().await,
            1 => self.cluster_moves(build),
            2 if self.random.random_bool(0.3) => self.world.cancel(build).await,
            3 => self.weather(),
            _ => self.dispatch(build).await,
        }
    }

    /// A step of the dispatcher; often it does not see its end, and another dispatcher goes on.
    async fn dispatch(&mut self, build: BuildId) {
        let dispatcher = self.dispatcher.clone();
        let which = self.random.random_range(0..4);
        let work = async move {
            match which {
                0 => drop(dispatcher.claim_once().await),
                1 => drop(dispatcher.reconcile_once().await),
                2 => drop(dispatcher.cancel_once().await),
                _ => drop(dispatcher.observe_once(build).await),
            }
        };
        if self.random.random_bool(0.5) {
            work.await;
            return;
        }
        let polls = self.random.random_range(1..25);
        if !(Mortal {
            work: Box::pin(work),
            polls,
        })
        .await
        {
            self.dispatcher =
                Dispatcher::new(self.world.store.clone(), self.world.cluster.clone(), options());
        }
    }

    fn cluster_moves(&mut self, build: BuildId) {
        let cluster = &self.world.cluster;
        if !cluster.has(build) {
            return;
        }
        match self.random.random_range(0..6) {
            0 => {
                cluster.vanishes(build);
                *self.deleted.entry(build).or_default() += 1;
            }
            1 | 2 if cluster.is_running(build) => cluster.succeeds(build),
            3 if cluster.is_running(build) => {
                cluster.fails(build, Reason::BuildStepFailed, false, Advice::None);
            }
            _ if cluster.is_unstarted(build) => drop(cluster.starts(build)),
            _ => {}
        }
    }

    fn weather(&mut self) {
        let (down, answers_lost) = (self.random.random_bool(0.2), self.random.random_bool(0.2));
        self.world.cluster.set(|faults| {
            faults.down = down;
            faults.answers_lost = answers_lost;
        });
    }

    /// What is true at every moment.
    async fn holds(&mut self, world: &World) {
        for id in &self.builds {
            let state = world.state(*id).await;
            if let Some(before) = self.ended.get(id) {
                assert_eq!(state, *before, "seed {}: terminal is terminal", self.seed);
            }
            if state.is_terminal() {
                self.ended.insert(*id, state);
            }
            let job = world.cluster.has(*id);
            assert!(
                !(job && state == State::Cancelled),
                "seed {}: a cancelled build has a Job",
                self.seed
            );
            let most = 1 + self.deleted.get(id).copied().unwrap_or_default();
            let created = world.cluster.created(*id);
            assert!(
                created <= most,
                "seed {}: {created} Jobs, {most} were called for",
                self.seed
            );
        }
    }

    /// The weather clears, and everything comes to its end.
    async fn recovers(mut self, world: &World) {
        world
            .cluster
            .set(|faults| *faults = crate::dispatcher::cluster::Faults::default());
        let dispatcher = Dispatcher::new(world.store.clone(), world.cluster.clone(), options());
        for _ in 0..20 {
            world.time_passes().await;
            dispatcher.claim_once().await.expect("it answers");
            for id in world.cluster.jobs() {
                if world.cluster.is_unstarted(id) {
                    world.cluster.starts(id);
                    world.cluster.succeeds(id);
                } else if world.cluster.is_running(id) {
                    world.cluster.succeeds(id);
                }
            }
            dispatcher.reconcile_once().await.expect("it answers");
            dispatcher.cancel_once().await.expect("it answers");
            dispatcher.settled().await;
            self.holds(world).await;
        }
        for id in &self.builds {
            let state = world.state(*id).await;
            assert!(state.is_terminal(), "seed {}: a build is left {state}", self.seed);
            assert_eq!(world.ends(*id).await, 1, "seed {}: one end", self.seed);
            if world.cluster.has(*id) {
                world.cluster.vanishes(*id);
            }
        }
    }
}

/// A future that is dropped after a number of polls: whether it had ended by then.
struct Mortal<F> {
    work: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future<Output = ()>> Future for Mortal<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if self.polls == 0 {
            return Poll::Ready(false);
        }
        self.polls -= 1;
        self.work.as_mut().poll(context).map(|()| true)
    }
}

#[sqlx::test(migrations = false)]
async fn whoever_goes_away_leaves_no_transaction_open(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let id = world.running().await;
    world.cluster.succeeds(id);
    for polls in 0..15 {
        let (one, two) = (world.dispatcher.clone(), world.dispatcher.clone());
        let claim = Box::pin(async move { drop(one.claim_once().await) });
        Mortal { work: claim, polls }.await;
        none_is_open(&world, polls).await;
        let look = Box::pin(async move { drop(two.observe_once(id).await) });
        Mortal { work: look, polls }.await;
        none_is_open(&world, polls).await;
    }
}

/// Waits for what was begun to be rolled back, by tasks that may still be at it.
async fn none_is_open(world: &World, polls: u32) {
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let none_open = async {
        while sqlx::query_scalar::<_, i64>(open)
            .fetch_one(&world.sql)
            .await
            .expect("it answers")
            > 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), none_open).await;
    assert!(
        waited.is_ok(),
        "after {polls} polls a connection went back with a transaction open"
    );
}
