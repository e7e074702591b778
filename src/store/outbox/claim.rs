//! Claims of notifications that are due.

use std::time::Duration;

use super::{Due, load::load_due};
use crate::store::{Store, StoreError, begin};

/// Advisory lock of these claims: one runs at a time, so that the bound per target holds over all replicas.
const LOCK: i32 = 90;

/// Makes the planner use the indexes, whatever its statistics say.
pub(in crate::store) const BEGIN: &str =
    "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off";

/// Upper bounds of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Delivery attempts to one target in flight at once, over all replicas.
    pub per_target: u32,
    /// Notifications that this claim may take.
    pub most: u32,
    /// Time after which another process may claim the same notifications; longer than a delivery attempt can
    /// take.
    pub lease: Duration,
}

impl Store {
    /// Claims due notifications and returns them with everything that is needed to send them.
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
        // Read before the commit: if the claim were committed and the notification could not be read, it
        // would be delayed by the whole lease. A row that can never be read keeps its claim, so that it does
        // not block the others each time.
        let due = load_due(&mut db, &ids, claims).await;
        if matches!(due, Err(StoreError::Unavailable(_))) {
            return due;
        }
        db.commit().await?;
        due
    }
}
