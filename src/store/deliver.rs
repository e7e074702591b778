//! A delivery and the builds that it makes: one transaction, so that there is never one without the other.
//!
//! What counts once is looked up under advisory transaction locks on the values that must not come twice: the host's id
//! of the delivery, and each rule, ref and commit. So copies of one delivery wait for each other, wherever they arrive,
//! and others do not.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError, Topic, begin, claim,
    insert::{Inserted, insert},
    supersede::Superseded,
};
use crate::domain::{
    BuildId, BuildSpec, DeliveryId, NewBuild, TriggerId,
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
    All(Vec<Superseded>),
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
        let mut superseded = Vec::new();
        if !builds.is_empty() {
            match self.store_triggered(&mut db, &builds).await? {
                Stored::All(these) => superseded = these,
                Stored::Limited => return Ok(Err(None)),
                Stored::OverQuota(quota) => return Ok(Err(Some(quota))),
            }
            arrival.link(&mut db, &builds).await?;
        }
        arrival.record(&mut db, &delivered, first).await?;
        db.commit().await?;
        if !builds.is_empty() {
            self.wake(Topic::Queue);
            self.queue_changed();
            self.tell_superseded(&superseded);
        }
        Ok(Ok(delivered))
    }

    async fn store_triggered(
        &self,
        db: &mut PgConnection,
        builds: &[Triggered<'_>],
    ) -> Result<Stored, StoreError> {
        let new: Vec<NewBuild> = builds.iter().map(|triggered| triggered.build.clone()).collect();
        let (answers, superseded) = if new.iter().any(|build| self.needs_locks(build)) {
            let admitted = self.admit(db, &new).await?;
            (admitted.answers, admitted.superseded)
        } else {
            (insert(db, &new, false).await?, Vec::new())
        };
        for (build, answer) in new.iter().zip(answers) {
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
        Ok(Stored::All(superseded))
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

/// A build on its way into the database.
struct Triggered<'a> {
    build: NewBuild,
    rule: &'a RuleName,
    git_ref: &'a str,
    commit: Option<&'a str>,
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

impl Arrival {
    /// The host's id, where it counts: what is refused or replayed on request takes none.
    fn counted_id(&self) -> Option<&str> {
        let refused = matches!(self.without, Some((Verdict::Refused, _)));
        self.host_id
            .as_deref()
            .filter(|_| !refused && self.replay_of.is_none())
    }

    /// Names of what must not happen twice at a time, as numbers in one order for all.
    fn locks(&self) -> Vec<i64> {
        let id = self.counted_id().map(|id| key(self.trigger, &["id", id]));
        let builds = self.intents.iter().filter_map(|intent| match intent {
            Intent::Build {
                rule,
                git_ref,
                consequence,
                ..
            } => {
                let commit = consequence.commit.as_ref()?.as_str();
                Some(key(self.trigger, &["commit", rule.as_str(), git_ref, commit]))
            }
            Intent::Nothing(_) => None,
        });
        let mut keys: Vec<i64> = id.into_iter().chain(builds).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The delivery by the same host's id that came before.
    async fn first(&self, db: &mut PgConnection) -> Result<Option<DeliveryId>, sqlx::Error> {
        let Some(id) = self.counted_id() else {
            return Ok(None);
        };
        let first = sqlx::query_scalar!(
            "SELECT id FROM deliveries WHERE trigger_id = $1 AND host_id = $2 AND verdict <> 'refused'
                AND duplicate_of IS NULL AND replay_of IS NULL",
            self.trigger.0,
            id
        )
        .fetch_optional(db)
        .await?;
        Ok(first.map(DeliveryId))
    }

    /// What comes of each intent, and the builds to make.
    async fn consequences(
        &self,
        db: &mut PgConnection,
    ) -> Result<(Delivered, Vec<Triggered<'_>>), StoreError> {
        let mut builds: Vec<Triggered<'_>> = Vec::new();
        let mut consequences = Vec::with_capacity(self.intents.len());
        let mut repeated = false;
        for intent in &self.intents {
            let (rule, git_ref, spec, consequence) = match intent {
                Intent::Nothing(consequence) => {
                    consequences.push(consequence.clone());
                    continue;
                }
                Intent::Build {
                    rule,
                    git_ref,
                    spec,
                    consequence,
                } => (rule, git_ref.as_str(), spec, consequence),
            };
            let commit = consequence.commit.as_ref().map(|commit| commit.as_str());
            let mut consequence = consequence.clone();
            // A delivery may name the same ref twice.
            let here = builds.iter().find(|one| {
                commit.is_some() && (one.rule, one.git_ref, one.commit) == (rule, git_ref, commit)
            });
            let earlier = match (here, commit) {
                (Some(here), _) => Some(here.build.id),
                (None, Some(commit)) if !self.again => self.built(db, rule, git_ref, commit).await?,
                _ => None,
            };
            if let Some(earlier) = earlier {
                repeated = true;
                consequence.build_id = Some(earlier);
                consequence.reason =
                    Some("this commit is being built, or was built, by this rule".to_owned());
            } else {
                let build = NewBuild {
                    id: BuildId::generate(),
                    spec: spec.as_ref().clone(),
                    rebuild_of: None,
                    idempotency: None,
                };
                consequence.build_id = Some(build.id);
                builds.push(Triggered {
                    build,
                    rule,
                    git_ref,
                    commit,
                });
            }
            consequences.push(consequence);
        }
        let (verdict, reason) = match &self.without {
            _ if !builds.is_empty() => (Verdict::Built, None),
            _ if repeated => (
                Verdict::Duplicate,
                Some("all of it is being built, or was built".to_owned()),
            ),
            Some((verdict, reason)) => (*verdict, Some(reason.clone())),
            None => (Verdict::Skipped, Some("no rule leads to a build".to_owned())),
        };
        let delivered = Delivered {
            verdict,
            reason,
            consequences,
        };
        Ok((delivered, builds))
    }

    /// The build of a rule, ref and commit that lives or has succeeded.
    async fn built(
        &self,
        db: &mut PgConnection,
        rule: &RuleName,
        git_ref: &str,
        commit: &str,
    ) -> Result<Option<BuildId>, sqlx::Error> {
        let built = sqlx::query_scalar!(
            "SELECT t.build_id FROM triggered_builds t JOIN builds b ON b.id = t.build_id
            WHERE t.trigger_id = $1 AND t.rule = $2 AND t.git_ref = $3 AND t.commit_id = $4
                AND b.state NOT IN ('failed', 'cancelled', 'superseded', 'expired')
            ORDER BY t.build_id DESC LIMIT 1",
            self.trigger.0,
            rule.as_str(),
            git_ref,
            commit
        )
        .fetch_optional(db)
        .await?;
        Ok(built.map(BuildId))
    }

    /// Says of the builds what they came of.
    async fn link(&self, db: &mut PgConnection, builds: &[Triggered<'_>]) -> Result<(), sqlx::Error> {
        let ids: Vec<Uuid> = builds.iter().map(|one| one.build.id.0).collect();
        let rules: Vec<&str> = builds.iter().map(|one| one.rule.as_str()).collect();
        let refs: Vec<&str> = builds.iter().map(|one| one.git_ref).collect();
        let commits: Vec<Option<&str>> = builds.iter().map(|one| one.commit).collect();
        sqlx::query!(
            "INSERT INTO triggered_builds (build_id, trigger_id, rule, git_ref, commit_id, delivery_id)
            SELECT i.build_id, $1, i.rule, i.git_ref, i.commit_id, $2
            FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) AS i (build_id, rule, git_ref, commit_id)",
            self.trigger.0,
            self.id.0,
            &ids,
            &rules as &[&str],
            &refs as &[&str],
            &commits as &[Option<&str>]
        )
        .execute(db)
        .await?;
        Ok(())
    }

    async fn record(
        &self,
        db: &mut PgConnection,
        delivered: &Delivered,
        first: Option<DeliveryId>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO deliveries (id, trigger_id, host_id, event, verdict, reason, consequences, headers, body,
                replay_of, duplicate_of)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            self.id.0,
            self.trigger.0,
            self.host_id.as_deref(),
            self.event,
            delivered.verdict.as_str(),
            delivered.reason,
            Json(&delivered.consequences) as Json<&Vec<Consequence>>,
            Json(&self.arrived.headers) as Json<&crate::domain::delivery::KeptHeaders>,
            self.arrived.body.as_deref(),
            self.replay_of.map(|id| id.0),
            first.map(|id| id.0)
        )
        .execute(db)
        .await?;
        Ok(())
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

/// A number for these words: two that fall together only wait for each other.
fn key(trigger: TriggerId, words: &[&str]) -> i64 {
    let mut hash = Sha256::new();
    hash.update(trigger.0);
    for word in words {
        hash.update(word.len().to_be_bytes());
        hash.update(word);
    }
    let digest: [u8; 32] = hash.finalize().into();
    i64::from_be_bytes(*digest.first_chunk().expect("a digest is longer than a number"))
}
