//! Claims: the transition from queued to launching, and the order of the builds.

use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::{PgExecutor, Postgres, Transaction, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError, begin,
    rows::{column, count},
};
use crate::domain::{BuildId, BuildSpec, Failure, Reason};

/// Fencing token of a claim. Only a process that presents the token stored with a launching build may write
/// to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken(pub Uuid);

/// Build that this dispatcher must launch now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The build's identifier.
    pub id: BuildId,
    /// Fencing token of the claim.
    pub token: ClaimToken,
    /// Request that the build executes.
    pub spec: BuildSpec,
    /// Number of earlier tries to launch it.
    pub launches: u32,
}

/// Upper bounds of builds that hold a slot at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// Slots in all projects together, over all replicas.
    pub total: u32,
    /// Slots of one project that has no limit of its own.
    pub per_project: u32,
}

/// Makes the planner use the indexes: its statistics of a queue are always out of date.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s';
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan";
/// Advisory lock of claims; the function `claim_1` takes it, too.
const LOCK: i32 = 1;

/// Result of one scan of the queue.
struct Look {
    claimed: Vec<ClaimedRow>,
    /// `true` if slots are left and some lanes may not have been scanned.
    more: bool,
}

/// Row of a claimed build.
pub(super) struct ClaimedRow {
    pub(super) id: Uuid,
    pub(super) token: Uuid,
    pub(super) launches: i32,
    pub(super) spec: Json<Box<RawValue>>,
}

impl Store {
    /// Claims queued builds, as many as there are free slots and at most `limit`, and launching builds whose
    /// lease has expired. Uses short transactions and reads the lanes as they are, so a caller that claims
    /// must also [`keep`](Store::keep_lanes) them.
    pub async fn claim(&self, slots: Slots, lease: Duration, limit: u32) -> Result<Vec<Claim>, StoreError> {
        let mut rows = self.take_expired(lease, limit).await?;
        let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        if left > 0 {
            self.take_queued(&mut rows, slots, lease, left).await?;
        }
        Ok(self.claims(rows).await)
    }

    /// Claims queued builds only, usually in one transaction and one round trip.
    pub async fn claim_queued(
        &self,
        slots: Slots,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut rows = Vec::new();
        self.take_queued(&mut rows, slots, lease, limit).await?;
        Ok(self.claims(rows).await)
    }

    /// Claims only launching builds whose lease has expired. Expiry is rare, so one call a second is enough;
    /// a call costs as much as a claim of ten builds.
    pub async fn claim_expired(&self, lease: Duration, limit: u32) -> Result<Vec<Claim>, StoreError> {
        let rows = self.take_expired(lease, limit).await?;
        Ok(self.claims(rows).await)
    }

    async fn take_expired(&self, lease: Duration, limit: u32) -> Result<Vec<ClaimedRow>, StoreError> {
        let mut db = begin::begin_locked(&self.pool, BEGIN, LOCK).await?;
        let rows = expired(&mut db, lease, limit).await?;
        db.commit().await?;
        Ok(rows)
    }

    async fn take_queued(
        &self,
        rows: &mut Vec<ClaimedRow>,
        slots: Slots,
        lease: Duration,
        limit: u32,
    ) -> Result<(), StoreError> {
        // The lanes that sort first by their stored values nearly always contain the builds that come first.
        let look = self.look(slots, lease, limit, i64::from(limit) * 2 + 64).await;
        if let Some(left) = rest(rows, look, limit)? {
            rest(rows, self.look(slots, lease, left, i64::MAX).await, left)?;
        }
        Ok(())
    }

    async fn look(&self, slots: Slots, lease: Duration, limit: u32, lanes: i64) -> Result<Look, sqlx::Error> {
        let mut connection = self.claiming.take().await?;
        let look = take(&mut *connection, slots, lease, limit, lanes).await?;
        self.claiming.keep(connection);
        Ok(look)
    }

    /// Notifies watchers of the claimed builds, and decodes the rows.
    async fn claims(&self, rows: Vec<ClaimedRow>) -> Vec<Claim> {
        let ids: Vec<BuildId> = rows.iter().map(|row| BuildId(row.id)).collect();
        self.builds_changed(&ids);
        if !ids.is_empty() {
            self.queue_changed();
        }
        let mut claims = Vec::with_capacity(rows.len());
        for row in rows {
            claims.extend(self.read(row).await);
        }
        claims
    }

    /// Decodes the row of a claimed build. A build whose stored request cannot be decoded fails, so that it
    /// does not block the launch of the others.
    pub(super) async fn read(&self, row: ClaimedRow) -> Option<Claim> {
        let (id, token) = (BuildId(row.id), ClaimToken(row.token));
        match serde_json::from_str(row.spec.0.get()) {
            Ok(spec) => Some(Claim {
                id,
                token,
                spec,
                launches: count(row.launches),
            }),
            Err(error) => {
                tracing::error!(build.id = %id, %error, "a stored build request cannot be read; the build fails");
                let failure = Failure::new(Reason::LaunchFailed, "The stored request cannot be read.");
                if let Err(error) = self.launch_failed(id, token, &failure).await {
                    tracing::warn!(build.id = %id, %error, "it will be tried again when its lease has run out");
                }
                None
            }
        }
    }
}

/// Adds the builds that a scan claimed. Returns how many more may be claimed from lanes that it did not scan.
///
/// The builds that were claimed before are committed and must be launched: otherwise they would stay idle
/// until their lease expires. An error of a later scan is therefore logged, not returned; if it persists, the
/// next claim reports it.
fn rest(
    rows: &mut Vec<ClaimedRow>,
    look: Result<Look, sqlx::Error>,
    most: u32,
) -> Result<Option<u32>, StoreError> {
    match look {
        Ok(look) => {
            let left = most.saturating_sub(u32::try_from(look.claimed.len()).unwrap_or(u32::MAX));
            rows.extend(look.claimed);
            Ok(look.more.then_some(left))
        }
        Err(error) if rows.is_empty() => Err(error.into()),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, claimed = rows.len(), "no more builds can be claimed");
            Ok(None)
        }
    }
}

/// Claims launching builds whose dispatcher did not report before the lease expired. They already hold slots.
async fn expired(
    db: &mut Transaction<'_, Postgres>,
    lease: Duration,
    limit: u32,
) -> Result<Vec<ClaimedRow>, sqlx::Error> {
    sqlx::query_file_as!(
        ClaimedRow,
        "src/store/expired.sql",
        i64::from(limit),
        lease.as_secs_f64()
    )
    .fetch_all(&mut **db)
    .await
}

/// Claims builds from the first `lanes` lanes, in the order of held slots ÷ weight, priority and age, never
/// more than there are free slots, in total and in each project. Only one claim runs at a time over all
/// replicas, because slots are counted and taken by the same transaction.
async fn take(
    db: impl PgExecutor<'_>,
    slots: Slots,
    lease: Duration,
    limit: u32,
    lanes: i64,
) -> Result<Look, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        SELECT free AS "free!", seen AS "seen!", build_id, token, launches, spec AS "spec: Json<Box<RawValue>>"
        FROM claim_1($1, $2, $3, $4, $5)
        "#,
        i64::from(slots.total),
        i64::from(slots.per_project),
        i64::from(limit),
        lanes,
        lease.as_secs_f64()
    )
    .fetch_all(db)
    .await?;
    let (free, seen) = rows.first().map_or((0, 0), |row| (row.free, row.seen));
    let claimed: Vec<_> = rows
        .into_iter()
        .filter_map(|row| {
            Some(ClaimedRow {
                id: row.build_id?,
                token: row.token?,
                launches: row.launches?,
                spec: row.spec?,
            })
        })
        .collect();
    let more = seen == lanes && column::<_, i64>(claimed.len()) < free;
    Ok(Look { claimed, more })
}
