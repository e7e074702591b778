//! How many builds are queued, kept as a sum of differences that writers add and nobody waits for.
//!
//! Every statement that puts builds into the queue or takes them out adds its difference to `lane_counts` in the same
//! transaction. So the sum is exact for whoever reads it, after any crash. Behind the writers' backs the rows of each
//! lane are put together; and now and then the whole is counted anew, for the sake of older releases that run beside
//! this one during an upgrade and do not count.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Store, StoreError, begin};

/// Between two times that a process puts rows together.
const FOLD: Duration = Duration::from_secs(1);
/// Between two counts of the whole queue by a process.
const RECOUNT: Duration = Duration::from_secs(600);

/// One process at a time; whoever comes second has nothing to do.
const BEGIN: &str = "BEGIN; SET LOCAL jit = off; SET LOCAL lock_timeout = '200ms'";

/// When this process last looked after the counts.
#[derive(Default)]
pub(super) struct Folding(Mutex<Turn>);

#[derive(Default)]
struct Turn {
    folded: Option<Instant>,
    recounted: Option<Instant>,
}

enum Due {
    Nothing,
    Fold,
    Recount,
}

impl Folding {
    fn due(&self) -> Due {
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let past =
            |last: Option<Instant>, interval| last.is_none_or(|last| now.duration_since(last) >= interval);
        if !past(turn.folded, FOLD) {
            return Due::Nothing;
        }
        turn.folded = Some(now);
        if past(turn.recounted, RECOUNT) {
            turn.recounted = Some(now);
            return Due::Recount;
        }
        Due::Fold
    }

    /// For tests that count by hand: from now on nothing is due.
    #[cfg(test)]
    pub(super) fn rest(&self) {
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turn.folded = Instant::now().checked_add(Duration::from_secs(3600));
    }
}

impl Store {
    /// To be called after the queue has changed: sees to it, in the background, that the counts stay few.
    pub(super) fn queue_changed(&self) {
        let recount = match self.counts.due() {
            Due::Nothing => return,
            Due::Fold => false,
            Due::Recount => true,
        };
        let store = self.clone();
        tokio::spawn(async move {
            let done = if recount {
                store.recount().await
            } else {
                store.fold_counts().await
            };
            if let Err(error) = done {
                tracing::debug!(%error, "the counts of the queue were not put together; it is tried again");
            }
        });
    }

    /// Puts the rows of each lane together.
    pub(super) async fn fold_counts(&self) -> Result<(), StoreError> {
        let mut db = begin::begin_with(&self.pool, BEGIN).await?;
        sqlx::query!(
            "
            WITH turn AS MATERIALIZED (
                SELECT pg_try_advisory_xact_lock(1936484471, 4) AS ours
            ), several AS MATERIALIZED (
                SELECT project_id, priority FROM lane_counts WHERE (SELECT ours FROM turn)
                GROUP BY project_id, priority HAVING count(*) > 1 OR sum(queued) = 0
            ), gone AS (
                DELETE FROM lane_counts c USING several s
                WHERE c.project_id = s.project_id AND c.priority = s.priority
                RETURNING c.project_id, c.priority, c.queued
            )
            INSERT INTO lane_counts (project_id, priority, queued)
            SELECT project_id, priority, sum(queued) FROM gone GROUP BY project_id, priority HAVING sum(queued) <> 0
            "
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        Ok(())
    }

    /// Counts the queue. What is counted and what is replaced are of one snapshot: differences that are not in it are
    /// not replaced either, and add up with the new counts. The one walk through the queue, on nobody's way.
    pub(super) async fn recount(&self) -> Result<(), StoreError> {
        let mut db = begin::begin_with(&self.pool, BEGIN).await?;
        // The lock comes before the snapshot: a row that somebody else is putting together must not be in it.
        let ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(1936484471, 4) AS "ours!""#)
            .fetch_one(&mut *db)
            .await?;
        if ours {
            sqlx::query!(
                "
                WITH gone AS (
                    DELETE FROM lane_counts
                )
                INSERT INTO lane_counts (project_id, priority, queued)
                SELECT project_id, priority, count(*) FROM builds WHERE state = 'queued' GROUP BY project_id, priority
                "
            )
            .execute(&mut *db)
            .await?;
            db.commit().await?;
        }
        Ok(())
    }
}
