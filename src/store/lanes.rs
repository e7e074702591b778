//! Keeping the lanes: their floors follow the oldest queued build, and those that stay empty go; and the floor under
//! the slots that are held.
//!
//! A claim begins its scan at a lane's floor, above the index entries that earlier claims left dead (under a long
//! snapshot nothing else removes them). A floor may be too high: a creation commits late, below it. So it keeps ten
//! seconds behind the present, and a sweep without floors, twice a minute, puts right what was later still.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use super::{Store, StoreError, begin};

/// Between two advances of floors.
const ADVANCE: Duration = Duration::from_secs(1);
/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(30);
/// Lanes that one advance looks at: many projects take turns.
const LANES: i64 = 256;

/// One process at a time is enough; the lock is not the claims', which need not wait for this. The planner is told to
/// follow the index of the queue, of which its statistics are always out of date.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s';
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL lock_timeout = '200ms'";
/// The upkeep's lock.
const LOCK: i32 = 3;

/// When this process last looked after the lanes, and how far it came.
#[derive(Default)]
pub(super) struct Upkeep(Mutex<Turn>);

#[derive(Default, Clone, Copy)]
struct Turn {
    advanced: Option<Instant>,
    swept: Option<Instant>,
    after: (i64, i16),
}

/// What is due.
enum Due {
    Nothing,
    Advance { after: (i64, i16) },
    Sweep,
}

impl Upkeep {
    fn due(&self) -> Due {
        let mut turn = self.lock();
        let now = Instant::now();
        let past =
            |last: Option<Instant>, interval| last.is_none_or(|last| now.duration_since(last) >= interval);
        if past(turn.swept, SWEEP) {
            turn.swept = Some(now);
            Due::Sweep
        } else if past(turn.advanced, ADVANCE) {
            turn.advanced = Some(now);
            Due::Advance { after: turn.after }
        } else {
            Due::Nothing
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store {
    /// Does what is due, mostly nothing. Claims go on without it: floors that stay behind cost time, never a build. So
    /// it comes after a claim, and no build waits for it.
    pub async fn keep_lanes(&self) {
        let done = match self.lanes.due() {
            Due::Nothing => Ok(()),
            Due::Sweep => self.sweep_lanes().await,
            Due::Advance { after } => self.advance_lanes(after).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the lanes of the queue could not be looked after");
        }
    }

    /// Raises the floors of the lanes after this one, marks those without a queued build, removes those that have
    /// been marked for a minute.
    async fn advance_lanes(&self, after: (i64, i16)) -> Result<(), StoreError> {
        let mut db = begin::begin_locked(&self.pool, BEGIN, LOCK).await?;
        // Creations clear the mark of a lane that they use. One that does not see the mark began before it was set,
        // and no statement lives for a minute.
        let seen = sqlx::query!(
            r#"
            WITH lane AS MATERIALIZED (
                SELECT project_id, priority, floor, empty_since FROM lanes
                WHERE (project_id, priority) > ($1, $2) ORDER BY project_id, priority LIMIT $3
            ), head AS MATERIALIZED (
                SELECT lane.*, oldest.run_at FROM lane LEFT JOIN LATERAL (
                    SELECT run_at FROM builds b
                    WHERE b.state = 'queued' AND b.project_id = lane.project_id AND b.priority = lane.priority
                        AND b.run_at >= lane.floor
                    ORDER BY b.run_at, b.id LIMIT 1
                ) oldest ON true
            ), raised AS (
                UPDATE lanes l SET
                    floor = greatest(l.floor, least(h.run_at, now() - interval '10 s')),
                    empty_since = CASE WHEN h.run_at IS NULL THEN coalesce(l.empty_since, now()) END
                FROM head h
                WHERE l.project_id = h.project_id AND l.priority = h.priority AND l.floor = h.floor
                    AND l.empty_since IS NOT DISTINCT FROM h.empty_since
                    AND (
                        (h.run_at IS NULL) <> (l.empty_since IS NOT NULL)
                        OR h.run_at IS NOT NULL
                            AND least(h.run_at, now() - interval '10 s') > l.floor + interval '500 ms'
                    )
            ), dead AS (
                SELECT l.project_id, l.priority FROM lanes l JOIN head h USING (project_id, priority)
                WHERE h.run_at IS NULL AND l.empty_since < now() - interval '60 s'
                FOR UPDATE OF l SKIP LOCKED
            ), removed AS (
                DELETE FROM lanes l USING dead d
                WHERE l.project_id = d.project_id AND l.priority = d.priority
                    AND l.empty_since < now() - interval '60 s'
            )
            SELECT project_id, priority FROM lane ORDER BY project_id, priority
            "#,
            after.0,
            after.1,
            LANES
        )
        .fetch_all(&mut *db)
        .await?;
        raise_held_floor(&mut db).await?;
        db.commit().await?;
        let full = i64::try_from(seen.len()).unwrap_or(LANES) == LANES;
        let last = seen
            .last()
            .filter(|_| full)
            .map(|row| (row.project_id, row.priority));
        self.lanes.lock().after = last.unwrap_or((i64::MIN, i16::MIN));
        Ok(())
    }

    /// Looks at the whole queue, floors aside: sets back those above a queued build, adds the lanes that are missing.
    async fn sweep_lanes(&self) -> Result<(), StoreError> {
        let mut db = begin::begin_locked(&self.pool, BEGIN, LOCK).await?;
        sqlx::query!(
            "
            WITH RECURSIVE head AS (
                (
                    SELECT project_id, priority, run_at FROM builds WHERE state = 'queued'
                    ORDER BY project_id, priority, run_at, id LIMIT 1
                )
                UNION ALL
                SELECT next.* FROM head CROSS JOIN LATERAL (
                    SELECT project_id, priority, run_at FROM builds
                    WHERE state = 'queued' AND (project_id, priority) > (head.project_id, head.priority)
                    ORDER BY project_id, priority, run_at, id LIMIT 1
                ) next
            )
            INSERT INTO lanes (project_id, priority, floor) SELECT project_id, priority, run_at FROM head
            ON CONFLICT (project_id, priority) DO UPDATE SET floor = excluded.floor, empty_since = NULL
            WHERE lanes.floor > excluded.floor OR lanes.empty_since IS NOT NULL
            "
        )
        .execute(&mut *db)
        .await?;
        sweep_held_floor(&mut db).await?;
        db.commit().await?;
        Ok(())
    }

    /// The build's lane, for tests that break it.
    #[cfg(test)]
    pub(super) async fn look_after_lanes(&self, sweep: bool) -> Result<(), StoreError> {
        if sweep {
            self.sweep_lanes().await
        } else {
            self.advance_lanes((i64::MIN, i16::MIN)).await
        }
    }
}

/// Slots are counted from the first build that holds one. Nothing below it ever will again: a build has its number from
/// the claim that gave it its slot, and numbers grow from claim to claim.
async fn raise_held_floor(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        SELECT setval('held_floor', turn) FROM (
            SELECT min(turn) AS turn FROM held_slots
        ) first
        WHERE turn > pg_sequence_last_value('held_floor')
        "
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Sets the floor back to what holds a slot below it, which a restored backup may: its sequences are newer than its
/// rows.
async fn sweep_held_floor(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        SELECT setval('held_floor', turn) FROM (
            SELECT turn FROM builds
            WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END
                AND turn IS NOT NULL
            ORDER BY turn LIMIT 1
        ) first
        WHERE turn < pg_sequence_last_value('held_floor')
        "
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}
