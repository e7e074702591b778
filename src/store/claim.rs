//! From queued to launching: who goes next.

use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::{PgExecutor, Postgres, Transaction, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError, begin,
    rows::{column, count},
};
use crate::domain::{BuildId, BuildSpec, Failure, Reason};

/// Proof of a claim: whoever holds the token that is stored with a launching build may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken(pub Uuid);

/// A build that this dispatcher must launch now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which build.
    pub id: BuildId,
    /// The proof.
    pub token: ClaimToken,
    /// What to build.
    pub spec: BuildSpec,
    /// How often its launch has been tried before.
    pub launches: u32,
}

/// How many builds may hold a slot at once.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// In all projects together, over all replicas.
    pub total: u32,
    /// In one project that has no limit of its own.
    pub per_project: u32,
}

/// The planner is told to follow the indexes: its statistics of a queue are always out of date.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '30s';
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan";
/// The claims' lock, which the function claim_1 takes, too.
const LOCK: i32 = 1;

/// One look at the queue.
struct Look {
    claimed: Vec<ClaimedRow>,
    /// Slots were left and lanes were not looked at.
    more: bool,
}

/// A claimed build as the database answers it.
pub(super) struct ClaimedRow {
    pub(super) id: Uuid,
    pub(super) token: Uuid,
    pub(super) launches: i32,
    pub(super) spec: Json<Box<RawValue>>,
}

impl Store {
    /// Claims as many queued builds as there are free slots, at most `limit`, and those launching builds whose lease
    /// ran out. Short transactions, by the lanes as they are: whoever claims must also [`keep`](Store::keep_lanes)
    /// them.
    pub async fn claim(&self, slots: Slots, lease: Duration, limit: u32) -> Result<Vec<Claim>, StoreError> {
        let mut rows = self.take_expired(lease, limit).await?;
        let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        if left > 0 {
            self.take_queued(&mut rows, slots, lease, left).await?;
        }
        Ok(self.claims(rows).await)
    }

    /// Likewise, of queued builds only: one transaction in one round trip, nearly always.
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

    /// Likewise, of launching builds whose lease ran out only. That is seldom: to look once a second is enough, and
    /// costs as much as a claim of ten builds.
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
        // Those lanes that come first by what is known of them hold the builds that come first, nearly always.
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

    /// Tells of what was claimed, and reads it.
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

    /// Makes a claim of a row. What is stored and cannot be read must not keep the others from being launched.
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

/// Adds what a look claimed; answers how many more may be claimed of lanes that it did not look at.
///
/// What was claimed before is committed and must be launched, or it would wait for its lease, whatever becomes of the
/// rest: of that the next claim is told.
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

/// Launching builds whose dispatcher was not heard of before the lease ran out. They hold their slots already.
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

/// Takes builds from the `lanes` that come first, in the order of held slots ÷ weight, priority and age, never more
/// than there are free slots, in all and in each project. One claim at a time, in all replicas: slots are counted and
/// taken by the same transaction.
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
