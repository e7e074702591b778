//! Transactions that leave no trace when whoever began them goes away.

use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction, in a task of its own, with `statement`: a BEGIN, and settings that come with it, which cannot
/// fail.
///
/// sqlx knows of a transaction only when it has read the answer to its BEGIN. A caller that is dropped before that, by
/// a `select!` or because a role was lost, would give back a connection on which a transaction is open: whoever gets
/// it next writes into that transaction, is told that all went well, and nothing is ever committed.
pub(super) async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Begins a transaction likewise, and waits for one of our advisory locks, which it holds to its end.
///
/// The wait may fail, and so is no part of `statement`: of a BEGIN that opens a transaction and then fails, sqlx gives
/// back a connection on which nothing succeeds any more.
pub(super) async fn begin_locked(
    pool: &PgPool,
    statement: &'static str,
    lock: i32,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut db = begin_with(pool, statement).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1936484471, $1)")
        .bind(lock)
        .execute(&mut *db)
        .await?;
    Ok(db)
}

/// Begins a plain transaction, likewise. A process that is stopped in the middle of it keeps its locks for a while only:
/// through a pooler, no other setting says so.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(
        pool,
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s'",
    )
    .await
}
