//! Which notifications are tried next.

use std::time::Duration;

use super::{Due, load::load_due};
use crate::store::{Store, StoreError, begin};

/// The advisory lock of claims: one at a time, so that the bound on each target holds over all replicas.
const LOCK: i32 = 90;

/// By the indexes, whatever the statistics say.
pub(in crate::store) const BEGIN: &str =
    "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off";

/// What a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Tries of one target at once, over all replicas.
    pub per_target: u32,
    /// Notifications now.
    pub most: u32,
    /// After which time another may try what was claimed: longer than a try may take.
    pub lease: Duration,
}

impl Store {
    /// Claims notifications that are due, and answers them with all that is needed to send them.
    pub async fn claim_notifications(&self, limits: ClaimLimits) -> Result<Vec<Due>, StoreError> {
        let any = sqlx::query_scalar!("SELECT id FROM notifications WHERE state = 'waiting' LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        if any.is_none() || limits.most == 0 {
            return Ok(Vec::new());
        }
        let mut db = begin::begin_locked(&self.pool, BEGIN, LOCK).await?;
        let claimed = sqlx::query_file!(
            "src/store/outbox/claim.sql",
            i64::from(limits.per_target),
            i64::from(limits.most),
            limits.lease.as_secs_f64()
        )
        .fetch_all(&mut *db)
        .await?;
        let ids: Vec<i64> = claimed.iter().map(|row| row.id).collect();
        let claims = claimed.into_iter().map(|row| (row.id, row.claim)).collect();
        // Read before the commit: a claim that is kept though its notification cannot be read would delay it by the
        // whole lease. A row that nothing can read keeps its claim, so that it does not stop all others each time.
        let due = load_due(&mut db, &ids, claims).await;
        if matches!(due, Err(StoreError::Unavailable(_))) {
            return due;
        }
        db.commit().await?;
        due
    }
}
