//! Claims use the index of queued builds, and cost no more with a longer queue.

use super::*;

/// Explains a claim of fifty builds and undoes it. Returns the plan and the pages that it touched.
async fn explained(pool: &PgPool) -> (String, i64) {
    explained_claim(pool, 50).await
}

/// Explains a claim of `most` builds, as [`explained`] does.
async fn explained_claim(pool: &PgPool, most: i64) -> (String, i64) {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain(include_str!("../../claim.sql"))))
        .bind(most)
        .bind(most)
        .bind(most)
        .bind(2 * most + 64)
        .bind(60.0_f64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    (plan.to_string(), touched(&plan))
}

/// Returns the number of pages that the search for expired leases touches.
async fn explained_expired(pool: &PgPool) -> i64 {
    let mut db = pool.begin_with(claim::BEGIN).await.unwrap();
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain(include_str!("../../expired.sql"))))
        .bind(50_i64)
        .bind(60.0_f64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    assert!(!plan.to_string().contains("Seq Scan"), "{plan}");
    touched(&plan)
}

/// Opens a transaction with a snapshot of now: rows that die from here on cannot be removed.
async fn old_snapshot(pool: &PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut old = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM lanes")
        .await
        .expect("it begins");
    sqlx::query("SELECT 1 FROM builds LIMIT 1")
        .execute(&mut *old)
        .await
        .expect("it answers");
    old
}

/// The explained text is that of the function.
#[sqlx::test]
async fn claims_are_made_by_what_is_explained(pool: PgPool) {
    let text: String = sqlx::query_scalar("SELECT prosrc FROM pg_proc WHERE proname = 'claim_1'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(text.contains(include_str!("../../claim.sql").trim()), "{text}");
}

#[sqlx::test]
async fn a_claim_follows_the_index_and_does_not_grow_with_the_backlog(pool: PgPool) {
    let store = store(&pool);
    let mut touched = Vec::new();
    for builds in [2_000, 200_000] {
        backlog(&pool, builds).await;
        store.look_after_lanes(true).await.unwrap();
        let (plan, pages) = explained(&pool).await;
        assert!(plan.contains("builds_queued"), "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
        touched.push(pages);
    }
    assert!(touched[1] < touched[0] * 3 / 2 + 300, "{touched:?}");
}

#[sqlx::test]
async fn fault_25_a_claim_from_a_long_queue_touches_about_as_much_as_from_one_of_ten(pool: PgPool) {
    let store = store(&pool);
    let mut touched = Vec::new();
    for builds in [10, 200_000] {
        backlog(&pool, builds).await;
        store.look_after_lanes(true).await.unwrap();
        let (plan, pages) = explained_claim(&pool, 10).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        touched.push(pages);
    }
    println!("pages of a claim of ten, from ten and from 200,000: {touched:?}");
    // Each build that is read and changed is reached through indexes that are a few pages deep instead of
    // one.
    assert!(touched[1] < touched[0] * 2 + 100, "{touched:?}");
}

#[sqlx::test]
async fn what_was_claimed_before_costs_nothing_even_under_an_old_snapshot(pool: PgPool) {
    let store = store(&pool);
    backlog(&pool, 60_000).await;
    store.look_after_lanes(true).await.unwrap();
    let (_, before) = explained(&pool).await;
    let _old = old_snapshot(&pool).await;
    sqlx::query(
        "UPDATE builds SET state = 'succeeded', finished_at = now()
        WHERE id IN (SELECT id FROM builds ORDER BY run_at LIMIT 50000)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (_, unkept) = explained(&pool).await;
    assert!(unkept > before * 3, "the dead are in the way: {before}, {unkept}");
    store.look_after_lanes(false).await.unwrap();
    let (_, kept) = explained(&pool).await;
    assert!(kept < before * 3 / 2 + 300, "{before}, {kept}");
}

#[sqlx::test]
async fn builds_that_have_ended_cost_a_claim_nothing_even_under_an_old_snapshot(pool: PgPool) {
    let store = store(&pool);
    backlog(&pool, 20_000).await;
    // By these statistics nothing ever holds a slot, and one index is as good as another.
    sqlx::query("VACUUM ANALYZE builds")
        .execute(&pool)
        .await
        .expect("it is done");
    store.look_after_lanes(true).await.expect("it answers");
    let _old = old_snapshot(&pool).await;
    let (_, before) = explained(&pool).await;
    for _ in 0..100 {
        for claim in store.claim(PLENTY, LEASE, 100).await.expect("it answers") {
            assert!(
                store
                    .launched(claim.id, claim.token, "uid")
                    .await
                    .expect("it answers")
            );
            let outcome = Outcome::Succeeded { digest: None };
            assert!(
                store
                    .finish(claim.id, &outcome, &[], 0)
                    .await
                    .expect("it answers")
            );
        }
    }
    store.claim(PLENTY, LEASE, 10).await.expect("it answers");
    let (_, unkept) = explained(&pool).await;
    assert!(unkept > before * 2, "the dead are in the way: {before}, {unkept}");
    let unkept = explained_expired(&pool).await;
    store.look_after_lanes(false).await.expect("it answers");
    let (_, kept) = explained(&pool).await;
    assert!(kept < before * 3 / 2 + 300, "{before}, {kept}");
    let kept = explained_expired(&pool).await;
    assert!(
        kept < 200 && kept < unkept / 10,
        "of leases that ran out: {unkept}, {kept}"
    );
}
