//! Claims, compared with a model: each slot in turn goes to the project with the least share.

use proptest::{
    collection::vec,
    option,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use uuid::Uuid;

use super::*;

#[derive(Debug, Clone)]
struct Project {
    weight: i32,
    max_running: Option<i32>,
    held: usize,
    /// Priorities of queued builds, oldest first.
    queued: Vec<i16>,
}

#[derive(Debug, Clone)]
struct Case {
    projects: Vec<Project>,
    slots: Slots,
    limit: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let project = (1..4_i32, option::of(0..5_i32), 0..3_usize, vec(-1..2_i16, 0..6)).prop_map(
        |(weight, max_running, held, queued)| Project {
            weight,
            max_running,
            held,
            queued,
        },
    );
    (vec(project, 1..6), 0..14_u32, 0..6_u32, 1..12_u32).prop_map(|(projects, total, per_project, limit)| {
        Case {
            projects,
            slots: Slots { total, per_project },
            limit,
        }
    })
}

/// Stores the case. Returns each project's queued builds as (priority, id), oldest first. All builds of one
/// age rank, over all projects, are younger than those of the rank before.
async fn stored(pool: &PgPool, case: &Case) -> Vec<Vec<(i16, Uuid)>> {
    sqlx::query("TRUNCATE projects, builds, specs, lanes, build_events RESTART IDENTITY CASCADE")
        .execute(pool)
        .await
        .unwrap();
    let mut queues = Vec::new();
    for (number, project) in (1_i32..).zip(&case.projects) {
        sqlx::query("INSERT INTO projects (name, weight, max_running) VALUES ($1, $2, $3)")
            .bind(format!("p{number}"))
            .bind(project.weight)
            .bind(project.max_running)
            .execute(pool)
            .await
            .unwrap();
        for _ in 0..project.held {
            sqlx::query("INSERT INTO builds (id, project_id, priority, state) VALUES ($1, $2, 0, 'running')")
                .bind(Uuid::now_v7())
                .bind(i64::from(number))
                .execute(pool)
                .await
                .unwrap();
        }
        let mut queue = Vec::new();
        for (rank, priority) in (0_i32..).zip(&project.queued) {
            let id = Uuid::now_v7();
            sqlx::query(
                "WITH new AS (
                    INSERT INTO builds (id, project_id, priority, run_at)
                    VALUES ($1, $2, $3, now() - interval '1 h' + make_interval(secs => $4 * 100 + $2)) RETURNING id
                )
                INSERT INTO specs (build_id, project_id, repository, spec) SELECT id, $2, 'r', $5 FROM new",
            )
            .bind(id)
            .bind(i64::from(number))
            .bind(priority)
            .bind(f64::from(rank))
            .bind(sqlx::types::Json(spec("p")))
            .execute(pool)
            .await
            .unwrap();
            queue.push((*priority, id));
        }
        queues.push(queue);
    }
    queues
}

/// Returns the builds that should be claimed, in order.
fn model(case: &Case, queues: &[Vec<(i16, Uuid)>]) -> Vec<Uuid> {
    let mut held: Vec<usize> = case.projects.iter().map(|project| project.held).collect();
    // Within a project by priority, then by age; the age of a rank precedes the project's number.
    let mut queues: Vec<Vec<(i16, usize, Uuid)>> = queues
        .iter()
        .map(|queue| {
            let mut queue: Vec<_> = queue
                .iter()
                .enumerate()
                .map(|(rank, (p, id))| (*p, rank, *id))
                .collect();
            queue.sort_by_key(|(priority, rank, _)| (-priority, *rank));
            queue
        })
        .collect();
    let mut claimed = Vec::new();
    while claimed.len() < case.limit as usize && held.iter().sum::<usize>() < case.slots.total as usize {
        let next = (0..queues.len())
            .filter(|&n| {
                let most = case.projects[n]
                    .max_running
                    .map_or(case.slots.per_project, |max| {
                        u32::try_from(max).expect("limits are positive")
                    });
                held[n] < most as usize && !queues[n].is_empty()
            })
            .min_by(|&a, &b| {
                let share = |n: usize| held[n] as f64 / f64::from(case.projects[n].weight);
                let head = |n: usize| (-queues[n][0].0, queues[n][0].1, n);
                share(a).total_cmp(&share(b)).then_with(|| head(a).cmp(&head(b)))
            });
        let Some(n) = next else { break };
        held[n] += 1;
        claimed.push(queues[n].remove(0).2);
    }
    claimed
}

#[sqlx::test]
async fn claims_are_those_of_the_model_in_its_order(pool: PgPool) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let queues = stored(&pool, &case).await;
        let store = store(&pool);
        store.look_after_lanes(true).await.unwrap();
        let claims = store.claim(case.slots, LEASE, case.limit).await.unwrap();
        let claimed: Vec<_> = claims.iter().map(|claim| claim.id.0).collect();
        assert_eq!(claimed, model(&case, &queues), "{case:?}");
    }
}

#[sqlx::test]
async fn a_place_in_the_queue_is_the_turn_at_which_a_claim_takes_it(pool: PgPool) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let mut case = cases().new_tree(&mut runner).unwrap().current();
        for project in &mut case.projects {
            project.max_running = None;
        }
        let queues = stored(&pool, &case).await;
        let store = store(&pool);
        store.counts.rest();
        store.look_after_lanes(true).await.unwrap();
        store.recount().await.unwrap();
        store.dispatcher_seen(Uuid::nil(), PLENTY, true).await.unwrap();
        let mut places = Vec::new();
        for (_, id) in queues.iter().flatten() {
            let place = store.place(BuildId(*id)).await.unwrap().unwrap();
            assert!(!place.estimated);
            places.push((place.ahead, *id));
        }
        places.sort_unstable();
        let claims = store.claim(PLENTY, LEASE, 1000).await.unwrap();
        let claimed: Vec<_> = (0..).zip(claims.iter().map(|claim| claim.id.0)).collect();
        assert_eq!(places, claimed, "{case:?}");
    }
}
