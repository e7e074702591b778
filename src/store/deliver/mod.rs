//! Stores a delivery and the builds that it creates in one transaction, so that one never exists without the
//! other.
//!
//! Duplicates are looked up under advisory transaction locks on the values that must be unique: the host's id
//! of the delivery, and each rule, ref and commit. Copies of one delivery therefore wait for each other, on
//! whichever replica they arrive, and other deliveries do not.

mod arrival;

use sqlx::PgConnection;

use self::arrival::Triggered;
use super::{
    Store, StoreError, Topic,
    admission::Admitted,
    begin, claim, commit_statuses,
    insert::{Inserted, insert},
};
use crate::domain::{
    BuildSpec, DeliveryId, NewBuild, TriggerId,
    commit_status::StatusTarget,
    delivery::{Arrived, Consequence, Verdict},
    quota::{QuotaExceeded, QuotaLimit},
    trigger::RuleName,
};

/// Number of tries for a delivery whose project turns out to have limits.
const TRIES: usize = 5;

/// Planned result of a delivery for one ref and one rule.
#[derive(Debug, Clone)]
pub enum Intent {
    /// A build, unless this rule has already built this commit of this ref.
    Build {
        /// The rule.
        rule: RuleName,
        /// The ref's full name.
        git_ref: String,
        /// Build request.
        spec: Box<BuildSpec>,
        /// Target of the commit status, if one is reported.
        status: Option<Box<StatusTarget>>,
        /// Result to record; the build's id is added later.
        consequence: Consequence,
    },
    /// No build, with the reason.
    Nothing(Consequence),
}

/// Delivery to record.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its identifier.
    pub id: DeliveryId,
    /// The trigger that was called.
    pub trigger: TriggerId,
    /// The delivery's id on the host.
    pub host_id: Option<String>,
    /// The host's name of the event.
    pub event: String,
    /// Content that arrived.
    pub arrived: Arrived,
    /// Planned builds, and refs that lead to none.
    pub intents: Vec<Intent>,
    /// Verdict and reason if no build is created.
    pub without: Option<(Verdict, String)>,
    /// The earlier delivery, if this one is a requested replay of it.
    pub replay_of: Option<DeliveryId>,
    /// `true` if builds are created even if the same ones exist already.
    pub again: bool,
}

/// Result of a recorded delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Verdict on the whole delivery.
    pub verdict: Verdict,
    /// Reason for the verdict, if there is one.
    pub reason: Option<String>,
    /// Results, one for each ref and rule.
    pub consequences: Vec<Consequence>,
}

/// Reason why a delivery was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The project has reached a limit of its builds; the delivery is recorded as refused, without builds.
    #[error("the project has as many builds as it may have")]
    QuotaExceeded(Box<QuotaExceeded>),
    /// The database failed. Nothing is recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DeliverError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Result of storing the builds of one transaction.
enum Stored {
    All(Admitted),
    /// The project has limits that this process did not know of, or is just being created or removed: try
    /// again.
    Limited,
    OverQuota(Box<QuotaExceeded>),
}

impl Store {
    /// Records a delivery and creates its builds, all or nothing.
    ///
    /// # Errors
    /// Fails if the project may have no more builds: the delivery is then recorded as refused and can be
    /// replayed.
    pub async fn deliver(&self, arrival: &Arrival) -> Result<Delivered, DeliverError> {
        for _ in 0..TRIES {
            match self.deliver_once(arrival).await? {
                Ok(delivered) => return Ok(delivered),
                Err(None) => {}
                Err(Some(quota)) => {
                    let refused = Arrival {
                        intents: Vec::new(),
                        without: Some((Verdict::Refused, full(&quota))),
                        ..arrival.clone()
                    };
                    // The refused delivery creates no build, so no limit applies to it.
                    let _ = self.deliver_once(&refused).await?;
                    return Err(DeliverError::QuotaExceeded(quota));
                }
            }
        }
        Err(StoreError::unavailable("the delivery's project is being changed").into())
    }

    /// Makes one try in one transaction. An inner error means that the transaction was rolled back: because
    /// of a quota (`Some`), or to try again (`None`).
    async fn deliver_once(
        &self,
        arrival: &Arrival,
    ) -> Result<Result<Delivered, Option<Box<QuotaExceeded>>>, StoreError> {
        // The semaphore is never closed.
        let _turn = self.delivering.acquire().await;
        // Uses the indexes, as claims do: the statistics of a queue are always out of date.
        let mut db = begin::begin_with(&self.pool, claim::BEGIN).await?;
        lock(&mut db, &arrival.locks()).await?;
        let first = arrival.first(&mut db).await?;
        let (delivered, builds) = match first {
            Some(first) => (Delivered::duplicate(first), Vec::new()),
            None => arrival.consequences(&mut db).await?,
        };
        let mut admitted = Admitted::default();
        if !builds.is_empty() {
            // Stored before the builds, so that no state of theirs is missed.
            let statuses = builds.iter().filter_map(|one| Some((one.build.id, one.status?)));
            commit_statuses::insert(&mut db, &statuses.collect::<Vec<_>>()).await?;
            match self.store_triggered(&mut db, &builds).await? {
                Stored::All(these) => admitted = these,
                Stored::Limited => return Ok(Err(None)),
                Stored::OverQuota(quota) => return Ok(Err(Some(quota))),
            }
        }
        arrival.record(&mut db, &delivered, first, &builds).await?;
        db.commit().await?;
        if !builds.is_empty() {
            self.wake(Topic::Queue);
            self.queue_changed();
            self.tell_superseded(&admitted);
        }
        Ok(Ok(delivered))
    }

    async fn store_triggered(
        &self,
        db: &mut PgConnection,
        builds: &[Triggered<'_>],
    ) -> Result<Stored, StoreError> {
        let new: Vec<NewBuild> = builds.iter().map(|triggered| triggered.build.clone()).collect();
        let mut admitted = if new.iter().any(|build| self.needs_locks(build)) {
            self.admit(db, &new).await?
        } else {
            Admitted::without_locks(insert(db, &new, false).await?)
        };
        for (build, answer) in new.iter().zip(admitted.answers.drain(..)) {
            match answer {
                Inserted::New(_) | Inserted::Overtaken => {}
                Inserted::Limited => {
                    self.limited.learn(&build.spec.project);
                    return Ok(Stored::Limited);
                }
                Inserted::OverQuota(quota) => return Ok(Stored::OverQuota(quota)),
                // A git source needs no context, so the project is just being created or removed.
                Inserted::NoSuchContext | Inserted::NotYet => return Ok(Stored::Limited),
            }
        }
        Ok(Stored::All(admitted))
    }
}

/// Describes the exceeded limit, for the recorded delivery.
fn full(quota: &QuotaExceeded) -> String {
    let limit = match quota.limit {
        QuotaLimit::MaxQueued => "queued",
        QuotaLimit::MaxPerHour => "created within an hour",
    };
    format!(
        "the project has as many builds as it may have: {} {limit}",
        quota.max
    )
}

impl Delivered {
    fn duplicate(first: DeliveryId) -> Self {
        Self {
            verdict: Verdict::Duplicate,
            reason: Some(format!("the host delivered it before, as {first}")),
            consequences: Vec::new(),
        }
    }
}

/// Waits for transactions that handle the same values. Takes the locks in sorted order.
async fn lock(db: &mut PgConnection, keys: &[i64]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock(key) FROM (SELECT key FROM unnest($1::bigint[]) key ORDER BY key) k",
    )
    .bind(keys)
    .execute(db)
    .await?;
    Ok(())
}
