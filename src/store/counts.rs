//! Numbers of queued builds, stored as a sum of differences, so that no writer blocks another.
//!
//! Every statement that adds builds to the queue or removes them adds its difference to `lane_counts` in the
//! same transaction. The sum is therefore exact for every reader, after any crash. A background task merges
//! the rows of each lane. From time to time it also counts the whole queue anew, because older releases that
//! run beside this one during an upgrade do not write differences.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Store, StoreError, begin};

/// Interval between two merges by one process.
const FOLD: Duration = Duration::from_secs(1);
/// Interval between two counts of the whole queue by one process.
const RECOUNT: Duration = Duration::from_secs(600);

/// Limits the time spent on locks: one process at a time does this work, so a second one has nothing to do.
const BEGIN: &str = "BEGIN; SET LOCAL jit = off; SET LOCAL lock_timeout = '200ms'";

/// Times of this process's last merge and last count.
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

    /// Disables the merges and counts, for tests that make them explicitly.
    #[cfg(test)]
    pub(super) fn rest(&self) {
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turn.folded = Instant::now().checked_add(Duration::from_secs(3600));
    }
}

impl Store {
    /// Starts a merge or a count in the background if one is due, so that there are few rows. Called after
    /// every change of the queue.
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

    /// Merges the rows of each lane.
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

    /// Counts the queue. The count and the rows that it replaces come from one snapshot: a difference outside
    /// the snapshot is not replaced, and adds to the new count. This is the only scan of the whole queue; no
    /// other work waits for it.
    pub(super) async fn recount(&self) -> Result<(), StoreError> {
        let mut db = begin::begin_with(&self.pool, BEGIN).await?;
        // The lock precedes the snapshot, so that the snapshot contains no row that another process is
        // merging.
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
