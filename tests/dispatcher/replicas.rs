//! Several dispatchers at once, running by themselves.

use std::time::Duration;

use slipway::{
    dispatcher::Options,
    domain::{BuildId, State},
    launcher::{Launcher, Order},
    store::Slots,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dispatcher::world::{World, options};

struct Replica {
    soft: CancellationToken,
    hard: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(world: &World) -> Self {
        Self::with(world, options())
    }

    fn with(world: &World, options: Options) -> Self {
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(world.replica(options).run(soft.clone(), hard.clone()));
        Self { soft, hard, task }
    }

    async fn stops(self) {
        self.soft.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.expect("it stops").expect("it did not panic");
    }

    fn dies(self) {
        self.hard.cancel();
        self.task.abort();
    }
}

/// Waits for a state that must come by itself.
async fn becomes(world: &World, id: BuildId, state: State) {
    let wait = async {
        while world.state(id).await != state {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(waited.is_ok(), "it is still {}", world.state(id).await);
}

#[sqlx::test(migrations = false)]
async fn a_build_goes_its_way_by_itself(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let replica = Replica::start(&world);
    let id = world.submit().await;
    becomes(&world, id, State::Running).await;
    world.cluster.starts(id);
    world.cluster.succeeds(id);
    becomes(&world, id, State::Succeeded).await;

    let id = world.submit().await;
    becomes(&world, id, State::Running).await;
    world.cancel(id).await;
    becomes(&world, id, State::Cancelled).await;
    replica.stops().await;
}

#[sqlx::test(migrations = false)]
async fn another_replica_takes_over_when_the_observer_dies(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let first = Replica::start(&world);
    let id = world.submit().await;
    becomes(&world, id, State::Running).await;
    let second = Replica::start(&world);
    first.dies();
    world.cluster.starts(id);
    world.cluster.succeeds(id);
    becomes(&world, id, State::Succeeded).await;
    assert_eq!(world.ends(id).await, 1);
    second.stops().await;
}

#[sqlx::test(migrations = false)]
async fn a_job_that_ended_before_its_launch_was_recorded_elsewhere_is_looked_at_again(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let slots = Slots {
        total: 0,
        per_project: 0,
    };
    let observer = Replica::with(&world, Options { slots, ..options() });
    let id = world.submit().await;
    let claims = world
        .store
        .claim(options().slots, options().lease, 1)
        .await
        .expect("it answers");
    let order = Order {
        id,
        spec: claims[0].spec.clone(),
        project: slipway::domain::ProjectSettings::default(),
        context: None,
    };
    world.cluster.launch(&order).await.expect("it is created");
    world.cluster.starts(id);
    world.cluster.succeeds(id);
    while world.cluster.looks(id) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        world
            .store
            .launched(id, claims[0].token, "job")
            .await
            .expect("it answers")
    );
    becomes(&world, id, State::Succeeded).await;
    observer.stops().await;
}

#[sqlx::test(migrations = false)]
async fn many_builds_on_two_replicas_end_once_each(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let (one, two) = (Replica::start(&world), Replica::start(&world));
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(world.submit().await);
    }
    let mut done = std::collections::BTreeSet::new();
    let all = async {
        while done.len() < ids.len() {
            for id in world.cluster.jobs() {
                if world.state(id).await == State::Running && done.insert(id) {
                    world.cluster.starts(id);
                    world.cluster.succeeds(id);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("all are launched");
    for id in &ids {
        becomes(&world, *id, State::Succeeded).await;
        assert_eq!((world.cluster.created(*id), world.ends(*id).await), (1, 1));
    }
    one.stops().await;
    two.stops().await;
}

#[sqlx::test(migrations = false)]
async fn a_panic_in_a_launch_is_not_kept_secret(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    world.cluster.set(|faults| faults.panics = true);
    world.submit().await;
    let replica = Replica::start(&world);
    let ended = tokio::time::timeout(Duration::from_secs(20), replica.task).await;
    let died = ended.expect("it does not go on").expect_err("it panicked");
    assert!(died.is_panic());
}
