//! Rounds of random faults, each from a seed that is printed first: `SLIPWAY_TEST_SEED=N SLIPWAY_TEST_ROUNDS=1` repeats
//! one.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    faults::proxy::{Act, Calls},
    faults::world::World,
};

const REPLICAS: usize = 3;
const BUILDS: usize = 10;
const FAULTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn random_faults_lose_nothing_and_double_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SLIPWAY_TEST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    for seed in first..first + number("SLIPWAY_TEST_ROUNDS").unwrap_or(3) {
        println!("SLIPWAY_TEST_SEED={seed} SLIPWAY_TEST_ROUNDS=1");
        let begun = std::time::Instant::now();
        Round::begin(seed).await.run().await;
        println!("seed {seed}: {} s", begun.elapsed().as_secs());
    }
}

struct Round {
    random: StdRng,
    world: World,
    paused: [bool; REPLICAS],
    postgres_up: bool,
}

impl Round {
    async fn begin(seed: u64) -> Self {
        let mut world = World::new(REPLICAS).await;
        world.up().await;
        Self {
            random: StdRng::seed_from_u64(seed),
            world,
            paused: [false; REPLICAS],
            postgres_up: true,
        }
    }

    async fn run(mut self) {
        for _ in 0..BUILDS {
            let kind = *["quick", "quick", "fails", "slow", "absent"]
                .choose(&mut self.random)
                .expect("kinds");
            let replica = self.random.random_range(0..REPLICAS);
            self.world.create(replica, kind).await;
        }
        for _ in 0..FAULTS {
            self.fault().await;
            let pause = self.random.random_range(100..2500);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.calm().await;
        self.world.hold().await;
        self.world.close().await;
    }

    async fn fault(&mut self) {
        let replica = self.random.random_range(0..REPLICAS);
        let build = *self
            .world
            .accepted
            .choose(&mut self.random)
            .expect("there are builds");
        match self.random.random_range(0..12) {
            0 | 1 => self.kill_or_start(replica),
            2 => self.pause_or_continue(replica),
            3..=5 => self.weather(replica),
            6 => self.postgres(),
            7 => {
                println!("  the Job of {build} is deleted");
                self.world.delete_job(build).await;
            }
            8 => {
                println!("  the pods of {build} are deleted");
                self.world.delete_pods(build).await;
            }
            9 | 10 => {
                println!("  {build} is cancelled");
                let cancel = self.world.cancel(replica, build);
                // Whoever is asked may be dead, or stopped.
                let _ = tokio::time::timeout(Duration::from_secs(2), cancel).await;
            }
            _ => self.add(replica).await,
        }
    }

    fn kill_or_start(&mut self, replica: usize) {
        let runs = self.world.service(replica).pid().is_some();
        println!(
            "  replica {replica} is {}",
            if runs { "killed" } else { "started" }
        );
        if runs {
            self.world.kill(replica);
            self.paused[replica] = false;
        } else {
            self.world.replicas[replica].service.start();
        }
    }

    fn pause_or_continue(&mut self, replica: usize) {
        if self.world.service(replica).pid().is_none() {
            return;
        }
        self.paused[replica] = !self.paused[replica];
        println!(
            "  replica {replica} is {}",
            if self.paused[replica] {
                "stopped"
            } else {
                "continued"
            }
        );
        if self.paused[replica] {
            self.world.service(replica).pause();
        } else {
            self.world.service(replica).resume();
        }
    }

    fn weather(&mut self, replica: usize) {
        let calls = *[Calls::All, Calls::Create, Calls::Watch]
            .choose(&mut self.random)
            .expect("calls");
        let act = match self.random.random_range(0..8) {
            0 => Act::Answer(*[429, 500, 503].choose(&mut self.random).expect("statuses")),
            1 => Act::Hang,
            2 => Act::Drop,
            3 => Act::LoseAnswer,
            4 => Act::Delay(Duration::from_millis(self.random.random_range(100..4000))),
            5 if calls == Calls::Watch => Act::Expired,
            5 | 6 => {
                println!("  the streams of replica {replica} are cut, and its weather clears");
                self.world.proxy(replica).cut_streams();
                self.world.proxy(replica).clear();
                return;
            }
            _ => {
                println!("  the weather of replica {replica} clears");
                self.world.proxy(replica).clear();
                return;
            }
        };
        println!("  {calls:?} of replica {replica}: {act:?}");
        self.world.proxy(replica).set(calls, act);
    }

    fn postgres(&mut self) {
        println!(
            "  Postgres {}",
            if self.postgres_up { "crashes" } else { "is started" }
        );
        if self.postgres_up {
            self.world.postgres.crash();
        } else {
            self.world.postgres.resume();
        }
        self.postgres_up = !self.postgres_up;
    }

    /// One more build, if it is accepted.
    async fn add(&mut self, replica: usize) {
        let body = self.world.request("quick");
        let asked = self.world.service(replica).try_post("api/v1/builds", &body);
        if let Ok(Ok((201, build))) = tokio::time::timeout(Duration::from_secs(2), asked).await {
            let id = build["id"].as_str().and_then(|id| id.parse().ok());
            self.world.accepted.push(id.expect("a build has an id"));
            println!("  another build");
        }
    }

    /// Everything works again.
    async fn calm(&mut self) {
        println!("  calm");
        if !self.postgres_up {
            self.postgres();
        }
        for replica in 0..REPLICAS {
            self.world.proxy(replica).clear();
            if self.world.service(replica).pid().is_none() {
                self.kill_or_start(replica);
            } else if self.paused[replica] {
                self.pause_or_continue(replica);
            }
        }
        for replica in &mut self.world.replicas {
            replica.service.ready().await;
        }
    }
}
