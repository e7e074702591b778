//! Upkeep of the lanes: raises their floors to the oldest queued build, removes lanes that stay empty, and
//! maintains the floor of the held slots.
//!
//! A claim starts its scan at the lane floor, above the dead index entries of earlier claims (while a long
//! snapshot is open, nothing else removes them). A floor can be too high for a creation that commits late,
//! below it. A floor therefore stays ten seconds behind the present, and a sweep that ignores floors, twice a
//! minute, corrects it for even later commits.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use super::{Store, StoreError, begin};

/// Interval between two advances of the floors.
const ADVANCE: Duration = Duration::from_secs(1);
/// Interval between two sweeps.
const SWEEP: Duration = Duration::from_secs(30);
/// Number of lanes that one advance checks; further lanes follow in the next advances.
const LANES: i64 = 256;

/// Limits the wait for the lock: one process at a time is enough. The lock differs from that of the claims,
/// so claims do not wait for the upkeep. The planner must use the index of the queue, because its statistics
/// of the queue are always out of date.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s';
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL lock_timeout = '200ms'";
/// Advisory lock of the upkeep.
const LOCK: i32 = 3;

/// Times of this process's last upkeep, and its position in the lanes.
#[derive(Default)]
pub(super) struct Upkeep(Mutex<Turn>);

#[derive(Default, Clone, Copy)]
struct Turn {
    advanced: Option<Instant>,
    swept: Option<Instant>,
    after: (i64, i16),
}

/// Upkeep that is due.
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
    /// Does the upkeep that is due, which is mostly none. Claims work without it: a floor that lags costs
    /// time, never a build. It therefore runs after a claim, and no build waits for it.
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

    /// Raises the floors of the lanes after this one, marks the lanes without a queued build, and removes
    /// those that have been marked for a minute.
    async fn advance_lanes(&self, after: (i64, i16)) -> Result<(), StoreError> {
        let mut db = begin::begin_locked(&self.pool, BEGIN, LOCK).await?;
        // A creation clears the mark of its lane. A creation that does not see the mark began before it was
        // set, and no statement takes a minute.
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

    /// Scans the whole queue without floors: lowers floors that are above a queued build, and adds missing
    /// lanes.
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

    /// Runs the upkeep at once, for tests: a sweep, or an advance of all lanes.
    #[cfg(test)]
    pub(super) async fn look_after_lanes(&self, sweep: bool) -> Result<(), StoreError> {
        if sweep {
            self.sweep_lanes().await
        } else {
            self.advance_lanes((i64::MIN, i16::MIN)).await
        }
    }
}

/// Raises the floor from which held slots are counted to the first build that holds one. No build below it
/// can hold a slot again, because each claim numbers its builds (`turn`) and the numbers increase from claim
/// to claim.
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

/// Lowers the floor to a slot held below it. Such a slot can exist after the restore of a backup, whose
/// sequences are newer than its rows.
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
