//! Transactions that leave no trace when whoever began them goes away.

use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction, in a task of its own, with `statement` (a BEGIN, and what must come with it).
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

/// Begins a plain transaction, likewise.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "BEGIN").await
}
