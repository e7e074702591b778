//! Steps of attempts.

use super::*;
use crate::domain::kaniko_log::Step;

fn steps(numbers: std::ops::Range<u32>) -> Vec<Step> {
    numbers
        .map(|number| Step {
            number,
            instruction: format!("RUN {number}"),
        })
        .collect()
}

/// Returns the numbers of the steps, each with true if it has ended.
async fn known(store: &Store, id: BuildId, attempt: &str) -> Vec<(u32, bool)> {
    let steps = store.steps(id, attempt).await.unwrap();
    steps
        .iter()
        .map(|step| (step.number, step.finished_at.is_some()))
        .collect()
}

#[sqlx::test]
async fn a_step_ends_where_the_next_begins(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    store.begin_steps(id, "pod", &steps(1..2), true).await.unwrap();
    assert_eq!(known(&store, id, "pod").await, [(1, false)]);
    store.begin_steps(id, "pod", &steps(2..4), true).await.unwrap();
    assert_eq!(known(&store, id, "pod").await, [(1, true), (2, true), (3, false)]);
    store.end_steps(id, "pod").await.unwrap();
    assert_eq!(known(&store, id, "pod").await, [(1, true), (2, true), (3, true)]);
    let all = store.steps(id, "pod").await.unwrap();
    assert!(
        all.iter().all(|step| step.finished_at >= Some(step.started_at)),
        "{all:?}"
    );
    assert!(all.is_sorted_by_key(|step| step.started_at));
}

#[sqlx::test]
async fn steps_that_are_read_again_stay_as_they_are(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    store.begin_steps(id, "pod", &steps(1..3), true).await.unwrap();
    let before = store.steps(id, "pod").await.unwrap();
    store.begin_steps(id, "pod", &steps(1..3), true).await.unwrap();
    assert_eq!(store.steps(id, "pod").await.unwrap(), before);
    // A step that is in the stored log and was not recorded is added.
    store.begin_steps(id, "pod", &steps(1..4), true).await.unwrap();
    let after = store.steps(id, "pod").await.unwrap();
    assert_eq!((after.len(), &after[..1]), (3, &before[..1]));
}

#[sqlx::test]
async fn nobody_knows_how_long_the_steps_of_an_old_log_took(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    store.begin_steps(id, "pod", &steps(1..3), false).await.unwrap();
    store.end_steps(id, "pod").await.unwrap();
    assert_eq!(known(&store, id, "pod").await, [(1, false), (2, false)]);

    store.begin_steps(id, "cut", &steps(1..3), true).await.unwrap();
    store.begin_steps(id, "cut", &steps(3..5), false).await.unwrap();
    store.end_steps(id, "cut").await.unwrap();
    let expected = [(1, true), (2, false), (3, false), (4, false)];
    assert_eq!(known(&store, id, "cut").await, expected);
}

#[sqlx::test]
async fn a_phase_is_the_latest_attempts_and_never_goes_back(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    let fetching = Outcome::Running {
        phase: Phase::Fetching,
    };
    store
        .observe(id, &fetching, &[running_pod("a"), running_pod("b")], 0)
        .await
        .unwrap();
    store.reach_phase(id, "a", Phase::Pushing).await.unwrap();
    assert_eq!(get(&store, id).await.phase, Some(Phase::Fetching));
    store.reach_phase(id, "b", Phase::Pushing).await.unwrap();
    store.reach_phase(id, "b", Phase::Building).await.unwrap();
    assert_eq!(get(&store, id).await.phase, Some(Phase::Pushing));
}
