//! Claims of notifications cost no more with a long backlog of one target.

use super::*;
use crate::store::outbox::claim::BEGIN;

/// Stores notifications of one target: `later` that are not due, followed by ten that are due.
async fn waiting(pool: &PgPool, later: i32) {
    for statement in [
        "ALTER TABLE notifications SET (autovacuum_enabled = off)",
        "TRUNCATE notifications",
        "ANALYZE notifications",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO notifications (target, build_id, type, next_try_at)
         SELECT 'git.example.com', gen_random_uuid(), 'build.queued',
            now() + CASE WHEN n > $1 THEN interval '0' ELSE interval '1 h' END
         FROM generate_series(1, $1 + 10) n",
    )
    .bind(later)
    .execute(pool)
    .await
    .unwrap();
}

/// Explains a claim and undoes it. Returns the plan and the number of claimed notifications.
async fn explained(pool: &PgPool) -> (Value, i64) {
    let mut db = pool.begin_with(BEGIN).await.unwrap();
    let plan = sqlx::query_scalar(AssertSqlSafe(explain(include_str!("../../outbox/claim.sql"))))
        .bind(4_i64)
        .bind(100_i64)
        .bind(60.0_f64)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let claimed = sqlx::query_scalar("SELECT count(*) FROM notifications WHERE claim IS NOT NULL")
        .fetch_one(&mut *db)
        .await
        .unwrap();
    (plan, claimed)
}

#[sqlx::test]
async fn a_long_backlog_of_one_target_is_no_burden_for_claims(pool: PgPool) {
    let mut pages = Vec::new();
    for later in [50, 50_000] {
        waiting(&pool, later).await;
        let (plan, claimed) = explained(&pool).await;
        assert_eq!(claimed, 4, "the tries of one target at once");
        pages.push(touched(&plan));
    }
    println!("pages of a claim before 50 and before 50,000: {pages:?}");
    assert!(pages[1] < pages[0] + 100, "{pages:?}");
}
