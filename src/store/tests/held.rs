//! The floor from which held slots are counted: every held slot is counted, wherever the floor is.

use super::*;

/// Asserts that nothing is claimed with this number of slots, all of which are held.
async fn nothing_is_claimed_of(store: &Store, slots: u32) {
    queued(store, "waiting", 0).await;
    let slots = Slots {
        total: slots,
        per_project: slots,
    };
    let claims = store.claim(slots, LEASE, 10).await.expect("it answers");
    assert!(claims.is_empty(), "{claims:?}");
}

/// Returns the floor of the held slots, and the number of a build.
async fn turns(pool: &PgPool, id: BuildId) -> (i64, Option<i64>) {
    sqlx::query_as("SELECT pg_sequence_last_value('held_floor'), turn FROM builds WHERE id = $1")
        .bind(id.0)
        .fetch_one(pool)
        .await
        .expect("the build is there")
}

#[sqlx::test]
async fn slots_are_counted_from_the_oldest_claim_that_still_holds_one(pool: PgPool) {
    let store = store(&pool);
    let (first, second, third) = (
        running(&store, "p").await,
        running(&store, "p").await,
        running(&store, "p").await,
    );
    let ended = async |id| {
        let outcome = Outcome::Succeeded { digest: None };
        assert!(store.finish(id, &outcome, &[], 0).await.expect("it answers"));
        store.look_after_lanes(false).await.expect("it answers");
    };
    // While the first build runs, the floor is not above its number.
    ended(second).await;
    let (floor, of_first) = turns(&pool, first).await;
    assert_eq!(Some(floor), of_first);
    ended(first).await;
    let (floor, of_third) = turns(&pool, third).await;
    assert_eq!(Some(floor), of_third);
    // If nothing holds a slot, the next claim is still above the floor.
    ended(third).await;
    let next = running(&store, "p").await;
    let (floor, of_next) = turns(&pool, next).await;
    assert!(of_next.expect("it was claimed") > floor);
    nothing_is_claimed_of(&store, 1).await;
}

#[sqlx::test]
async fn whoever_comes_back_into_a_slot_is_counted_whatever_the_floor(pool: PgPool) {
    let store = store(&pool);
    let id = queued(&store, "p", 0).await;
    let claim = store.claim(PLENTY, LEASE, 1).await.expect("it answers").remove(0);
    // A deferred launch may have created a Job: the cancelled build holds a slot until that is known.
    assert!(
        store
            .release(id, claim.token, Duration::ZERO)
            .await
            .expect("it answers")
    );
    running(&store, "q").await;
    store.look_after_lanes(false).await.expect("it answers");
    store.cancel(id).await.expect("it answers");
    nothing_is_claimed_of(&store, 2).await;
}

#[sqlx::test]
async fn what_an_older_release_claimed_holds_its_slot(pool: PgPool) {
    let store = store(&pool);
    let old = running(&store, "p").await;
    running(&store, "p").await;
    sqlx::query("UPDATE builds SET turn = NULL WHERE id = $1")
        .bind(old.0)
        .execute(&pool)
        .await
        .expect("it can be changed");
    store.look_after_lanes(false).await.expect("it answers");
    nothing_is_claimed_of(&store, 2).await;
}

#[sqlx::test]
async fn a_floor_above_what_holds_a_slot_is_set_back_by_the_sweep(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "p").await;
    sqlx::query("SELECT setval('held_floor', nextval('claim_turns'))")
        .execute(&pool)
        .await
        .expect("it can be changed");
    store.look_after_lanes(true).await.expect("it answers");
    let (floor, of_build) = turns(&pool, id).await;
    assert_eq!(Some(floor), of_build);
}
