//! Numbers for /metrics, cheap whatever the length of the queue.

use super::{Store, StoreError, rows::length};

/// Numbers of builds that are queued or hold a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Queued builds: exact up to [`QueueDepth::COUNTED`], above that the planner's estimate, but at least
    /// that many.
    pub queued: u64,
    /// Builds that are being launched.
    pub launching: u64,
    /// Running builds.
    pub running: u64,
    /// Builds that are being cancelled.
    pub cancelling: u64,
}

impl QueueDepth {
    /// Upper bound of queued builds that are counted one by one.
    pub const COUNTED: u64 = 10_000;
}

/// Use of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Number of open connections.
    pub size: u32,
    /// Number of these that are idle.
    pub idle: u32,
    /// Upper bound of connections.
    pub max: u32,
}

impl Store {
    /// Counts the builds that are queued or hold a slot.
    pub async fn queue_depth(&self) -> Result<QueueDepth, StoreError> {
        let held = sqlx::query!(
            r#"
            SELECT count(*) FILTER (WHERE state = 'launching') AS "launching!",
                count(*) FILTER (WHERE state = 'running') AS "running!",
                count(*) FILTER (WHERE state = 'cancelling') AS "cancelling!"
            FROM held_slots
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        let queued = sqlx::query!(
            r#"
            WITH counted AS (
                SELECT count(*) AS n FROM (
                    SELECT 1 FROM lanes l CROSS JOIN LATERAL (
                        SELECT FROM builds b WHERE b.state = 'queued' AND b.project_id = l.project_id
                            AND b.priority = l.priority AND b.run_at >= l.floor
                    ) waiting LIMIT 10000
                ) AS found
            )
            SELECT n AS "counted!", (
                SELECT greatest(reltuples, 0)::bigint FROM pg_class
                WHERE oid = to_regclass('builds_queued') AND n >= 10000
            ) AS estimate
            FROM counted
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(QueueDepth {
            queued: length(queued.counted.max(queued.estimate.unwrap_or(0))),
            launching: length(held.launching),
            running: length(held.running),
            cancelling: length(held.cancelling),
        })
    }

    /// Returns the use of the pool's connections.
    pub fn pool_status(&self) -> PoolStatus {
        PoolStatus {
            size: self.pool.size(),
            idle: u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX),
            max: self.pool.options().get_max_connections(),
        }
    }
}
