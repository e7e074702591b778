//! Retention of uploaded contexts: the row is removed first, then the bytes, which are a loose object until
//! then.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{BATCH, Batch};
use crate::{
    domain::ContextId,
    store::{
        Store, StoreError,
        rows::{column, length},
    },
};

impl Store {
    /// Records that a context is about to be uploaded. If it is not added within a day, its bytes are
    /// removed.
    pub async fn begin_context(&self, id: ContextId) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO loose_objects (context_id, due_at) VALUES ($1, now() + interval '24 h')",
            id.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Turns contexts into loose objects, in the batch after `after`, if they were uploaded longer ago than
    /// `age` and are used by no build that is unfinished or ended less than `age` ago.
    pub async fn remove_old_contexts(&self, age: Duration, after: Uuid) -> Result<Batch<Uuid>, StoreError> {
        let mut db = self.begin_batch().await?;
        let seen = sqlx::query_file!("src/store/retention/contexts_due.sql", after, age.as_secs_f64())
            .fetch_all(&mut *db)
            .await?;
        db.commit().await?;
        let last = seen.last().map(|row| row.id);
        let full = column::<_, i64>(seen.len()) == BATCH;
        let due: Vec<Uuid> = seen
            .into_iter()
            .filter_map(|row| row.due.then_some(row.id))
            .collect();
        let removed = if due.is_empty() {
            0
        } else {
            self.loosen(&due, age).await?
        };
        Ok(Batch {
            removed,
            next: last.filter(|_| full),
        })
    }

    async fn loosen(&self, due: &[Uuid], age: Duration) -> Result<u64, StoreError> {
        // Grants of builds that have ended give no access any more.
        while self.remove_grants(due).await? == BATCH {}
        let mut db = self.begin_batch().await?;
        let locked = lock(&mut db, due).await?;
        // The lock keeps new builds from using the contexts. Only a statement after it sees the builds that
        // came before.
        let removed = sqlx::query_scalar!(
            r#"
            WITH gone AS (
                DELETE FROM contexts c WHERE c.id = ANY($1) AND NOT EXISTS (
                    SELECT FROM (
                        SELECT build_id FROM specs WHERE spec #>> '{source,upload,context_id}' = c.id::text OFFSET 0
                    ) s CROSS JOIN LATERAL (
                        SELECT FROM builds b WHERE b.id = s.build_id
                            AND (b.finished_at IS NULL OR b.finished_at >= now() - make_interval(secs => $2))
                        OFFSET 0
                    ) b
                ) RETURNING c.id
            ), loose AS (
                INSERT INTO loose_objects (context_id, due_at) SELECT id, now() FROM gone
            )
            SELECT count(*) AS "removed!" FROM gone
            "#,
            &locked,
            age.as_secs_f64()
        )
        .fetch_one(&mut *db)
        .await?;
        db.commit().await?;
        Ok(length(removed))
    }

    async fn remove_grants(&self, contexts: &[Uuid]) -> Result<i64, StoreError> {
        let mut db = self.begin_batch().await?;
        let removed = sqlx::query!(
            "
            WITH picked AS MATERIALIZED (
                SELECT g.context_id, g.token_sha256 FROM context_grants g WHERE g.context_id = ANY($1) LIMIT 500
            )
            DELETE FROM context_grants g USING picked s
            WHERE g.context_id = s.context_id AND g.token_sha256 = s.token_sha256 AND NOT EXISTS (
                SELECT FROM builds b WHERE b.id = g.build_id AND b.finished_at IS NULL
            )
            ",
            contexts
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(column(removed.rows_affected()))
    }

    /// Returns loose objects that are due for removal, after this one, at most `limit`.
    pub async fn loose_objects(&self, after: Uuid, limit: u32) -> Result<Vec<ContextId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "
            SELECT context_id FROM loose_objects WHERE context_id > $1 AND due_at <= now()
            ORDER BY context_id LIMIT $2
            ",
            after,
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(ContextId).collect())
    }

    /// Removes the records of loose objects whose bytes are removed.
    pub async fn forget_objects(&self, ids: &[ContextId]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        sqlx::query!("DELETE FROM loose_objects WHERE context_id = ANY($1)", &ids)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Locks contexts against new builds. A context in use right now is left for the next sweep.
async fn lock(db: &mut Transaction<'_, Postgres>, ids: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM contexts WHERE id = ANY($1) FOR UPDATE SKIP LOCKED",
        ids
    )
    .fetch_all(&mut **db)
    .await
}
