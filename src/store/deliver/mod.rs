//! A delivery and the builds that it makes: one transaction, so that there is never one without the other.
//!
//! What counts once is looked up under advisory transaction locks on the values that must not come twice: the host's id
//! of the delivery, and each rule, ref and commit. So copies of one delivery wait for each other, wherever they arrive,
//! and others do not.

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

/// How often a delivery is tried whose project turned out to have limits.
const TRIES: usize = 5;

/// What a delivery may lead to, by one ref and one rule.
#[derive(Debug, Clone)]
pub enum Intent {
    /// A build, unless this rule built this commit of this ref before.
    Build {
        /// The rule.
        rule: RuleName,
        /// The ref's full name.
        git_ref: String,
        /// What to build.
        spec: Box<BuildSpec>,
        /// Where its status is shown, if it is.
        status: Option<Box<StatusTarget>>,
        /// What is recorded of it; the build is filled in.
        consequence: Consequence,
    },
    /// Nothing, and why.
    Nothing(Consequence),
}

/// A delivery that is to be recorded.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its identifier.
    pub id: DeliveryId,
    /// What was called.
    pub trigger: TriggerId,
    /// The host's own id of it.
    pub host_id: Option<String>,
    /// The event as the host calls it.
    pub event: String,
    /// What arrived.
    pub arrived: Arrived,
    /// What it may lead to.
    pub intents: Vec<Intent>,
    /// Why nothing at all comes of it, if nothing does: the verdict that it has then, and the reason.
    pub without: Option<(Verdict, String)>,
    /// The delivery that it repeats on request.
    pub replay_of: Option<DeliveryId>,
    /// Whether builds are made although the same were made before.
    pub again: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// As a whole.
    pub verdict: Verdict,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// Ref by ref, rule by rule.
    pub consequences: Vec<Consequence>,
}

/// Why a delivery could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// Its project has as many builds as it may have; that is recorded, and nothing else.
    #[error("the project has as many builds as it may have")]
    QuotaExceeded(Box<QuotaExceeded>),
    /// The database. Nothing is recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DeliverError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What the builds of one transaction came to.
enum Stored {
    All(Admitted),
    /// Their project has limits, which was not known.
    Limited,
    OverQuota(Box<QuotaExceeded>),
}

impl Store {
    /// Records a delivery and makes its builds, all of it or nothing.
    ///
    /// # Errors
    /// When the project may have no more builds: what arrived is recorded then, as refused, and can be replayed.
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
                    // Nothing is made of it, so that no limit can be in the way.
                    let _ = self.deliver_once(&refused).await?;
                    return Err(DeliverError::QuotaExceeded(quota));
                }
            }
        }
        Err(StoreError::unavailable("the delivery's project is being changed").into())
    }

    /// One transaction. An error in the answer means that it was given up: because of a quota, or to be tried again.
    async fn deliver_once(
        &self,
        arrival: &Arrival,
    ) -> Result<Result<Delivered, Option<Box<QuotaExceeded>>>, StoreError> {
        // It is never closed.
        let _turn = self.delivering.acquire().await;
        // By the indexes, as claims: statistics of a queue are always out of date.
        let mut db = begin::begin_with(&self.pool, claim::BEGIN).await?;
        lock(&mut db, &arrival.locks()).await?;
        let first = arrival.first(&mut db).await?;
        let (delivered, builds) = match first {
            Some(first) => (Delivered::duplicate(first), Vec::new()),
            None => arrival.consequences(&mut db).await?,
        };
        let mut admitted = Admitted::default();
        if !builds.is_empty() {
            // Before the builds, so that none of their states is left out.
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
                // A source of git needs no context, and the project is being made or removed.
                Inserted::NoSuchContext | Inserted::NotYet => return Ok(Stored::Limited),
            }
        }
        Ok(Stored::All(admitted))
    }
}

/// Why a project takes no more builds, for the record.
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

/// Waits for whoever does the same just now. The locks are taken in their order.
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
