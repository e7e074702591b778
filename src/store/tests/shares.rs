//! Shares and limits over thousands of random turns, compared with a model without SQL.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;
use crate::domain::spec::Priority;

const PROJECTS: usize = 5;

/// Queued build: its priority, the number of its arrival, and its id.
type Waiting = (i64, u64, BuildId);

#[derive(Default)]
struct Project {
    weight: u32,
    max_running: Option<u32>,
    queued: Vec<Waiting>,
    held: Vec<Claim>,
}

impl Project {
    /// Returns its next build: the highest priority, then the oldest.
    fn head(&self) -> Option<Waiting> {
        self.queued
            .iter()
            .copied()
            .min_by_key(|(priority, since, _)| (-priority, *since))
    }
}

struct World {
    pool: PgPool,
    stores: Vec<Store>,
    creator: Creator,
    rng: StdRng,
    projects: Vec<Project>,
    slots: Slots,
    arrivals: u64,
    claimed: usize,
}

impl World {
    async fn new(pool: &PgPool, seed: u64, slots: Slots) -> Self {
        let stores: Vec<_> = (0..3).map(|_| store(pool)).collect();
        let creator = creator(&stores[0]);
        let mut world = Self {
            pool: pool.clone(),
            stores,
            creator,
            rng: StdRng::seed_from_u64(seed),
            projects: (0..PROJECTS).map(|_| Project::default()).collect(),
            slots,
            arrivals: 0,
            claimed: 0,
        };
        for number in 0..PROJECTS {
            world.settle(number, 1, None).await;
        }
        world
    }

    fn name(number: usize) -> String {
        format!("p{number}")
    }

    /// Sets a project's weight and limit.
    async fn settle(&mut self, number: usize, weight: u32, max_running: Option<u32>) {
        sqlx::query(
            "INSERT INTO projects (name, weight, max_running) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET weight = excluded.weight, max_running = excluded.max_running",
        )
        .bind(Self::name(number))
        .bind(i32::try_from(weight).unwrap())
        .bind(max_running.map(|max| i32::try_from(max).unwrap()))
        .execute(&self.pool)
        .await
        .unwrap();
        (self.projects[number].weight, self.projects[number].max_running) = (weight, max_running);
    }

    async fn arrive(&mut self, number: usize, priority: i64) {
        let mut build = new_build(&Self::name(number));
        build.spec.priority = Priority::try_from(priority).unwrap();
        let id = build.id;
        self.creator.create(build).await.unwrap();
        self.enqueue(number, priority, id);
    }

    fn enqueue(&mut self, number: usize, priority: i64, id: BuildId) {
        self.arrivals += 1;
        self.projects[number].queued.push((priority, self.arrivals, id));
    }

    /// Frees one of a project's slots: its build ends, is cancelled, or goes back into the queue.
    async fn leave(&mut self, number: usize, nth: usize) {
        let claim = self.projects[number].held.swap_remove(nth);
        let store = self.stores.choose(&mut self.rng).unwrap().clone();
        match self.rng.random_range(0..4) {
            0 => {
                assert!(
                    store
                        .release(claim.id, claim.token, Duration::ZERO)
                        .await
                        .unwrap()
                );
                self.enqueue(number, claim.spec.priority.get().into(), claim.id);
            }
            1 => {
                store.launched(claim.id, claim.token, "uid").await.unwrap();
                store.cancel(claim.id).await.unwrap();
                assert!(store.cancelled(claim.id).await.unwrap());
            }
            _ => {
                store.launched(claim.id, claim.token, "uid").await.unwrap();
                let succeeded = Outcome::Succeeded { digest: None };
                assert!(store.finish(claim.id, &succeeded, &[], 0).await.unwrap());
            }
        }
    }

    /// Cancels a queued build. One that was launched before would hold a slot until its pod is gone.
    async fn give_up(&mut self, number: usize) {
        let Some(waiting) = self.projects[number].queued.choose(&mut self.rng).copied() else {
            return;
        };
        let store = &self.stores[0];
        store.cancel(waiting.2).await.unwrap();
        store.cancelled(waiting.2).await.unwrap();
        self.projects[number].queued.retain(|one| *one != waiting);
    }

    /// Returns the builds that should be claimed: each in turn from the project with the fewest slots for its
    /// weight. Compares by cross-multiplication, without a division.
    fn expected(&self, most: usize) -> Vec<BuildId> {
        let mut held: Vec<u64> = self.projects.iter().map(|one| one.held.len() as u64).collect();
        let mut queues: Vec<Vec<Waiting>> = self.projects.iter().map(|one| one.queued.clone()).collect();
        queues
            .iter_mut()
            .for_each(|queue| queue.sort_by_key(|(p, since, _)| (-p, *since)));
        queues.iter_mut().for_each(|queue| queue.reverse());
        let mut order = Vec::new();
        while order.len() < most && held.iter().sum::<u64>() < u64::from(self.slots.total) {
            let may = (0..PROJECTS).filter(|n| {
                let limit = self.projects[*n].max_running.unwrap_or(self.slots.per_project);
                held[*n] < u64::from(limit) && !queues[*n].is_empty()
            });
            let Some(next) = may.min_by(|a, b| {
                let cross = |this: usize, other: usize| held[this] * u64::from(self.projects[other].weight);
                let head = |n: usize| queues[n].last().map(|(p, since, _)| (-p, *since));
                cross(*a, *b)
                    .cmp(&cross(*b, *a))
                    .then_with(|| head(*a).cmp(&head(*b)))
            }) else {
                break;
            };
            held[next] += 1;
            order.extend(queues[next].pop().map(|(_, _, id)| id));
        }
        order
    }

    /// Claims with several replicas at once: together they get what the model says, and nothing twice.
    /// Returns the projects in the model's order.
    async fn claim(&mut self, limits: &[u32]) -> Vec<usize> {
        let expected = self.expected(limits.iter().sum::<u32>() as usize);
        let claims = limits
            .iter()
            .enumerate()
            .map(|(n, limit)| self.stores[n % 3].claim(self.slots, LEASE, *limit));
        let claims = join_all(claims).await.into_iter().flat_map(Result::unwrap);
        let mut claims: HashMap<BuildId, Claim> = claims.map(|claim| (claim.id, claim)).collect();
        assert_eq!(claims.len(), expected.len(), "turn {}", self.claimed);
        let mut order = Vec::new();
        for id in expected {
            let claim = claims
                .remove(&id)
                .unwrap_or_else(|| panic!("turn {}: {id} was not claimed", self.claimed));
            let number: usize = claim.spec.project.as_str()[1..].parse().unwrap();
            let project = &mut self.projects[number];
            assert_eq!(
                project.head().map(|head| head.2),
                Some(id),
                "by priority, then by age"
            );
            project.queued.retain(|one| one.2 != id);
            project.held.push(claim);
            order.push(number);
            self.claimed += 1;
        }
        order
    }

    /// Returns every slot in use, as (project, nth).
    fn in_use(&self) -> Vec<(usize, usize)> {
        let of = |(n, project): (usize, &Project)| {
            (0..project.held.len())
                .map(move |nth| (n, nth))
                .collect::<Vec<_>>()
        };
        self.projects.iter().enumerate().flat_map(of).collect()
    }

    /// Asserts that the held and queued builds in the database match the model.
    async fn agrees(&self) {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT p.name, count(*) FILTER (WHERE b.state IN ('launching', 'running', 'cancelling')),
                count(*) FILTER (WHERE b.state = 'queued')
            FROM projects p JOIN builds b ON b.project_id = p.id GROUP BY p.name",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        for (name, held, queued) in rows {
            let project = &self.projects[name[1..].parse::<usize>().unwrap()];
            let model = (project.held.len() as i64, project.queued.len() as i64);
            assert_eq!((held, queued), model, "{name}");
        }
    }
}

#[sqlx::test]
async fn thousands_of_random_turns_go_as_the_model_says(pool: PgPool) {
    for seed in 0..3 {
        let mut world = World::new(
            &pool,
            seed,
            Slots {
                total: 8,
                per_project: 4,
            },
        )
        .await;
        for turn in 0..700 {
            let number = world.rng.random_range(0..PROJECTS);
            match world.rng.random_range(0..100) {
                0..45 => {
                    let priority = world.rng.random_range(-1..2);
                    world.arrive(number, priority).await;
                }
                45..70 => {
                    if let Some((number, nth)) = world.in_use().choose(&mut world.rng).copied() {
                        world.leave(number, nth).await;
                    }
                }
                70..75 => world.give_up(number).await,
                75..80 => {
                    let weight = world.rng.random_range(1..5);
                    let limit = world.rng.random_range(0..6_u32).checked_sub(1);
                    world.settle(number, weight, limit).await;
                }
                80..82 => world.slots.total = world.rng.random_range(4..12),
                _ => {
                    let limits: Vec<u32> = (0..world.rng.random_range(1..4))
                        .map(|_| world.rng.random_range(1..4))
                        .collect();
                    world.claim(&limits).await;
                }
            }
            if turn % 50 == 0 {
                world.agrees().await;
            }
        }
        world.agrees().await;
        assert!(world.claimed > 100, "{}", world.claimed);
        // The next seed begins with an empty queue.
        sqlx::query("TRUNCATE projects, builds, specs, lanes, lane_counts RESTART IDENTITY CASCADE")
            .execute(&pool)
            .await
            .unwrap();
    }
}

#[sqlx::test]
async fn shares_follow_weights_and_a_flood_delays_nobodys_first_build_by_more_than_a_turn(pool: PgPool) {
    let mut world = World::new(
        &pool,
        7,
        Slots {
            total: 20,
            per_project: 20,
        },
    )
    .await;
    let weights = [1, 2, 3, 4];
    for (number, weight) in weights.into_iter().enumerate() {
        world.settle(number, weight, None).await;
        for _ in 0..40 {
            world.arrive(number, 0).await;
        }
    }
    // The last project is idle except for an occasional build.
    let newcomer = PROJECTS - 1;
    world.claim(&[20]).await;
    let (mut turns, mut obtained, mut longest) = (0, BTreeMap::new(), 0);
    let mut waits_since = None;
    while turns < 1_000 {
        if turns % 25 == 0 && world.projects[newcomer].held.is_empty() && waits_since.is_none() {
            world.arrive(newcomer, -100).await;
            waits_since = Some(turns);
        }
        let (number, nth) = world.in_use().choose(&mut world.rng).copied().unwrap();
        world.leave(number, nth).await;
        for number in world.claim(&[1, 1]).await {
            turns += 1;
            *obtained.entry(number).or_insert(0_u32) += 1;
            if number == newcomer {
                longest = longest.max(turns - waits_since.take().unwrap_or(turns));
            }
        }
        for number in 0..weights.len() {
            if world.projects[number].queued.len() < 20 {
                world.arrive(number, 0).await;
            }
            // With twenty slots in total, each project holds its weight's part of them, to within a slot.
            let held: usize = world.projects[..weights.len()]
                .iter()
                .map(|one| one.held.len())
                .sum();
            let due = held as f64 * f64::from(weights[number]) / 10.0;
            let off = (world.projects[number].held.len() as f64 - due).abs();
            assert!(off <= 2.0, "project {number} is off by {off} at turn {turns}");
        }
    }
    let all: u32 = weights.iter().enumerate().map(|(n, _)| obtained[&n]).sum();
    for (number, weight) in weights.into_iter().enumerate() {
        let (share, due) = (
            f64::from(obtained[&number]) / f64::from(all),
            f64::from(weight) / 10.0,
        );
        println!("weight {weight}: {share:.3} of {turns} turns, due {due:.3}");
        assert!((share - due).abs() < 0.05, "weight {weight}: {share:.3}");
    }
    println!("a first build waited {longest} turns at most");
    assert!(longest <= 1, "a first build waited {longest} turns");
}
