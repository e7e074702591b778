//! Transactions that leave no trace if their caller is dropped.

use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction, in a task of its own, with `statement`: a BEGIN and the settings that belong to it.
/// The statement must not fail.
///
/// sqlx knows of a transaction only after it has read the answer to its BEGIN. If a caller were dropped
/// before that, by a `select!` or because it lost a leader election, its connection would return to the pool
/// with an open transaction. The next user would then write into that transaction, every statement would
/// succeed, and nothing would ever be committed.
pub(super) async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Begins a transaction as [`begin_with`] does, then acquires one of the advisory locks of this service, held
/// until the transaction ends.
///
/// The acquisition may fail and is therefore not part of `statement`: if a BEGIN opens a transaction and then
/// fails, sqlx returns a connection to the pool on which every statement fails.
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

/// Begins a plain transaction as [`begin_with`] does. The time-out limits how long a process that is stopped
/// within it keeps its locks. Through a pooler, no other setting has this effect.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(
        pool,
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s'",
    )
    .await
}
