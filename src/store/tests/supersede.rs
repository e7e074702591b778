//! Concurrency groups: the newest build supersedes the older ones, whatever happens to them at the same time.

use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::domain::{Cause, State, concurrency::Concurrency};

fn of_group(project: &str, group: &str, supersede: &str) -> NewBuild {
    let mut build = new_build(project);
    build.spec.concurrency = Some(Concurrency {
        group: group.parse().unwrap(),
        supersede: supersede.parse().unwrap(),
    });
    build
}

async fn launched(store: &Store, build: NewBuild) -> BuildId {
    let id = created(store, build).await.id;
    let claims = store.claim(PLENTY, LEASE, 1000).await.unwrap();
    let claim = claims.into_iter().find(|claim| claim.id == id).unwrap();
    assert!(store.launched(id, claim.token, "uid-1").await.unwrap());
    id
}

async fn queued_in_counts(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM builds WHERE state = 'queued'),
            (SELECT coalesce(sum(queued), 0)::bigint FROM lane_counts)",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test]
async fn what_waits_ends_at_once_and_names_the_newer(pool: PgPool) {
    let store = store(&pool);
    let old = created(&store, of_group("team", "main", "queued")).await.id;
    let others = [
        created(&store, of_group("team", "next", "queued")).await.id,
        created(&store, of_group("other", "main", "queued")).await.id,
        created(&store, new_build("team")).await.id,
    ];
    let beside = created(&store, of_group("team", "main", "none")).await.id;
    assert_eq!(get(&store, old).await.state, State::Queued, "none ends nothing");
    let new = created(&store, of_group("team", "main", "queued")).await.id;
    for id in [old, beside] {
        let build = get(&store, id).await;
        assert_eq!((build.state, build.superseded_by), (State::Superseded, Some(new)));
        assert!(build.finished_at.is_some());
        let last = store.events(id).await.unwrap().pop().unwrap();
        assert_eq!(last.cause, Some(Cause::Superseded));
        assert_eq!(last.message, Some(format!("Build {new} took its place.")));
    }
    for id in others.into_iter().chain([new]) {
        assert_eq!(get(&store, id).await.state, State::Queued);
    }
    assert_eq!(queued_in_counts(&pool).await, (4, 4));
}

#[sqlx::test]
async fn what_runs_goes_through_cancelling_unless_it_pushes(pool: PgPool) {
    let store = store(&pool);
    let building = launched(&store, of_group("team", "main", "none")).await;
    let pushing = launched(&store, of_group("team", "main", "none")).await;
    let push = Outcome::Running {
        phase: Phase::Pushing,
    };
    store.observe(pushing, &push, &[], 0).await.unwrap();
    created(&store, of_group("team", "main", "queued")).await;
    assert_eq!(
        get(&store, building).await.state,
        State::Running,
        "it does not wait"
    );
    let new = created(&store, of_group("team", "main", "running")).await.id;
    assert_eq!(get(&store, pushing).await.state, State::Running);
    let build = get(&store, building).await;
    assert_eq!((build.state, build.superseded_by), (State::Cancelling, Some(new)));
    assert!(build.cancel_requested_at.is_none(), "nobody asked");
    assert_eq!(store.pod_gone(building).await.unwrap(), Some(State::Superseded));
    assert_eq!(store.pod_gone(building).await.unwrap(), None);
    let states = history(&store, building).await;
    assert_eq!(
        states,
        ["queued", "launching", "running", "cancelling", "superseded"]
    );
}

#[sqlx::test]
async fn what_was_pushed_before_it_could_be_stopped_has_succeeded(pool: PgPool) {
    let store = store(&pool);
    let old = launched(&store, of_group("team", "main", "none")).await;
    created(&store, of_group("team", "main", "running")).await;
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(store.finish(old, &succeeded, &[], 0).await.unwrap());
    assert!(!store.cancelled(old).await.unwrap());
    let build = get(&store, old).await;
    assert_eq!((build.state, build.superseded_by), (State::Succeeded, None));
}

#[sqlx::test]
async fn a_launch_that_was_put_off_may_have_a_job_and_is_waited_for(pool: PgPool) {
    let store = store(&pool);
    let old = created(&store, of_group("team", "main", "queued")).await.id;
    let claim = store.claim(PLENTY, LEASE, 1).await.unwrap().remove(0);
    assert!(store.release(old, claim.token, Duration::ZERO).await.unwrap());
    created(&store, of_group("team", "main", "queued")).await;
    assert_eq!(get(&store, old).await.state, State::Cancelling);
    assert!(store.cancelled(old).await.unwrap());
    assert_eq!(get(&store, old).await.state, State::Superseded);
    assert_eq!(queued_in_counts(&pool).await, (1, 1));
}

#[sqlx::test]
async fn a_build_that_is_stored_after_a_newer_one_of_its_group_ends_at_once(pool: PgPool) {
    let store = store(&pool);
    let (old, new) = (
        of_group("team", "main", "queued"),
        of_group("team", "main", "queued"),
    );
    let new = created(&store, new).await.id;
    let old = created(&store, old).await;
    assert_eq!((old.state, old.superseded_by), (State::Superseded, Some(new)));
    assert_eq!(get(&store, new).await.state, State::Queued);
}

#[sqlx::test]
async fn of_those_created_at_once_over_two_replicas_the_newest_survives(pool: PgPool) {
    let stores = [store(&pool), store(&pool)];
    let creators: Vec<_> = stores.iter().map(creator).collect();
    for round in 0..40 {
        let group = format!("g{round}");
        let builds: Vec<_> = (0..6).map(|_| of_group("team", &group, "queued")).collect();
        let newest = builds.last().unwrap().id;
        let ids: Vec<_> = builds.iter().map(|build| build.id).collect();
        let answers = join_all(
            builds
                .into_iter()
                .enumerate()
                .map(|(n, build)| creators[n % 2].create(build)),
        )
        .await;
        assert!(answers.iter().all(Result::is_ok));
        for id in ids {
            let build = get(&stores[0], id).await;
            let expected = if id == newest {
                State::Queued
            } else {
                State::Superseded
            };
            assert_eq!(build.state, expected, "round {round}");
            assert!(build.superseded_by.is_none_or(|by| by > id));
        }
    }
    assert_eq!(queued_in_counts(&pool).await, (40, 40));
}

/// Runs one actor of a race: it creates, claims and launches, moves phases on, finishes, or completes
/// cancellations.
async fn act(store: &Store, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let creator = creator(store);
    for _ in 0..25 {
        match rng.random_range(0..4) {
            0 => {
                let mode = ["none", "queued", "running"][rng.random_range(0..3)];
                let group = ["a", "b"][rng.random_range(0..2)];
                creator.create(of_group("team", group, mode)).await.unwrap();
            }
            1 => {
                for claim in store.claim(PLENTY, LEASE, 2).await.unwrap() {
                    if rng.random_bool(0.2) {
                        store
                            .release(claim.id, claim.token, Duration::ZERO)
                            .await
                            .unwrap();
                    } else {
                        store.launched(claim.id, claim.token, "uid").await.unwrap();
                    }
                }
            }
            2 => {
                for live in store.live(None, 3).await.unwrap() {
                    let phase = Phase::ALL[rng.random_range(1..4)];
                    store
                        .observe(live.id, &Outcome::Running { phase }, &[], 0)
                        .await
                        .unwrap();
                    if rng.random_bool(0.4) {
                        let succeeded = Outcome::Succeeded { digest: None };
                        store.finish(live.id, &succeeded, &[], 0).await.unwrap();
                    }
                }
            }
            _ => {
                for id in store.cancelling(None, 10).await.unwrap() {
                    store.cancelled(id).await.unwrap();
                }
            }
        }
    }
}

#[sqlx::test]
async fn races_of_creation_claim_phase_and_finish_end_each_build_once(pool: PgPool) {
    for round in 0..8 {
        let stores: Vec<_> = (0..4).map(|_| store(&pool)).collect();
        join_all((0..).zip(&stores).map(|(n, store)| act(store, round * 100 + n))).await;
        let wrong: Vec<(uuid::Uuid, String)> = sqlx::query_as(
            "SELECT b.id, b.state::text FROM builds b WHERE
                (SELECT count(*) FROM build_events e WHERE e.build_id = b.id
                    AND e.state IN ('succeeded', 'failed', 'cancelled', 'superseded')) <> (b.finished_at IS NOT NULL)::int
                OR b.state = 'superseded' AND (b.superseded_by IS NULL OR b.superseded_by <= b.id)
                OR b.state = 'cancelled'
                OR b.phase = 'pushing' AND b.state = 'cancelling' AND NOT EXISTS (
                    SELECT FROM build_events e WHERE e.build_id = b.id AND e.state = 'cancelling')
                -- Nothing that waits has a newer one beside it that would have taken its place.
                OR b.state = 'queued' AND EXISTS (
                    SELECT FROM builds n WHERE n.concurrency_group = b.concurrency_group AND n.id > b.id
                        AND n.supersede IS NOT NULL AND n.state IN ('queued', 'launching', 'running')
                        AND NOT EXISTS (SELECT FROM build_events e WHERE e.build_id = b.id AND e.cause = 'launch_deferred'))",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert!(wrong.is_empty(), "round {round}: {wrong:?}");
        let (truth, counts) = queued_in_counts(&pool).await;
        assert_eq!(truth, counts, "round {round}");
    }
}
