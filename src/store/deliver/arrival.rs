//! Evaluation of a delivery in the database: finds the builds that exist already, and records the results.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{Arrival, Delivered, Intent};
use crate::{
    domain::{
        BuildId, DeliveryId, NewBuild, TriggerId,
        commit_status::StatusTarget,
        delivery::{Consequence, KeptHeaders, Verdict},
        trigger::RuleName,
    },
    store::StoreError,
};

/// Reason for not creating a build that exists already.
const BEFORE: &str = "this commit is being built, or was built, by this rule";

/// Build to store, with the rule, ref and commit that it comes from.
pub(super) struct Triggered<'a> {
    pub(super) build: NewBuild,
    pub(super) status: Option<&'a StatusTarget>,
    rule: &'a RuleName,
    git_ref: &'a str,
    commit: Option<&'a str>,
}

impl<'a> Triggered<'a> {
    /// Returns the planned build, if the intent is one.
    fn of(intent: &'a Intent) -> Option<Self> {
        let Intent::Build {
            rule,
            git_ref,
            spec,
            status,
            consequence,
        } = intent
        else {
            return None;
        };
        Some(Self {
            build: NewBuild {
                id: BuildId::generate(),
                spec: spec.as_ref().clone(),
                rebuild_of: None,
                idempotency: None,
            },
            status: status.as_deref(),
            rule,
            git_ref,
            commit: consequence.commit.as_ref().map(|commit| commit.as_str()),
        })
    }
}

impl Arrival {
    /// Returns the host's id if it identifies duplicates: not for a refused delivery or a requested replay.
    fn counted_id(&self) -> Option<&str> {
        let refused = matches!(self.without, Some((Verdict::Refused, _)));
        self.host_id
            .as_deref()
            .filter(|_| !refused && self.replay_of.is_none())
    }

    /// Returns the keys of the locks that prevent duplicates, sorted, so that all transactions take them in
    /// the same order.
    pub(super) fn locks(&self) -> Vec<i64> {
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

    /// Returns the earlier delivery with the same host's id.
    pub(super) async fn first(&self, db: &mut PgConnection) -> Result<Option<DeliveryId>, sqlx::Error> {
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

    /// Returns the result of each intent, and the builds to create.
    pub(super) async fn consequences(
        &self,
        db: &mut PgConnection,
    ) -> Result<(Delivered, Vec<Triggered<'_>>), StoreError> {
        let mut builds: Vec<Triggered<'_>> = Vec::new();
        let mut consequences = Vec::with_capacity(self.intents.len());
        let mut repeated = false;
        for intent in &self.intents {
            let (build, consequence) = match intent {
                Intent::Nothing(consequence) => (None, consequence),
                Intent::Build { consequence, .. } => (Triggered::of(intent), consequence),
            };
            let mut consequence = consequence.clone();
            if let Some(build) = build {
                if let Some(earlier) = self.earlier(db, &builds, &build).await? {
                    repeated = true;
                    consequence.build_id = Some(earlier);
                    consequence.reason = Some(BEFORE.to_owned());
                } else {
                    consequence.build_id = Some(build.build.id);
                    builds.push(build);
                }
            }
            consequences.push(consequence);
        }
        let (verdict, reason) = self.verdict(!builds.is_empty(), repeated);
        let delivered = Delivered {
            verdict,
            reason,
            consequences,
        };
        Ok((delivered, builds))
    }

    fn verdict(&self, built: bool, repeated: bool) -> (Verdict, Option<String>) {
        match &self.without {
            _ if built => (Verdict::Built, None),
            _ if repeated => (
                Verdict::Duplicate,
                Some("all of it is being built, or was built".to_owned()),
            ),
            Some((verdict, reason)) => (*verdict, Some(reason.clone())),
            None => (Verdict::Skipped, Some("no rule leads to a build".to_owned())),
        }
    }

    /// Returns an earlier build of the same rule, ref and commit, created by another delivery or by this one,
    /// which may name a ref twice.
    async fn earlier(
        &self,
        db: &mut PgConnection,
        here: &[Triggered<'_>],
        build: &Triggered<'_>,
    ) -> Result<Option<BuildId>, sqlx::Error> {
        let Some(commit) = build.commit else {
            return Ok(None);
        };
        let same = |one: &&Triggered<'_>| {
            (one.rule, one.git_ref, one.commit) == (build.rule, build.git_ref, build.commit)
        };
        match here.iter().find(same) {
            Some(same) => Ok(Some(same.build.id)),
            None if self.again => Ok(None),
            None => self.built(db, build.rule, build.git_ref, commit).await,
        }
    }

    /// Returns the build of a rule, ref and commit that has not ended, or has succeeded.
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

    /// Records the delivery, and the origin of each of its builds.
    pub(super) async fn record(
        &self,
        db: &mut PgConnection,
        delivered: &Delivered,
        first: Option<DeliveryId>,
        builds: &[Triggered<'_>],
    ) -> Result<(), sqlx::Error> {
        let ids: Vec<Uuid> = builds.iter().map(|one| one.build.id.0).collect();
        let rules: Vec<&str> = builds.iter().map(|one| one.rule.as_str()).collect();
        let refs: Vec<&str> = builds.iter().map(|one| one.git_ref).collect();
        let commits: Vec<Option<&str>> = builds.iter().map(|one| one.commit).collect();
        sqlx::query!(
            "
            WITH linked AS (
                INSERT INTO triggered_builds (build_id, trigger_id, rule, git_ref, commit_id, delivery_id)
                SELECT i.build_id, $2, i.rule, i.git_ref, i.commit_id, $1
                FROM unnest($12::uuid[], $13::text[], $14::text[], $15::text[])
                    AS i (build_id, rule, git_ref, commit_id)
            )
            INSERT INTO deliveries (id, trigger_id, host_id, event, verdict, reason, consequences, headers, body,
                replay_of, duplicate_of)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ",
            self.id.0,
            self.trigger.0,
            self.host_id.as_deref(),
            self.event,
            delivered.verdict.as_str(),
            delivered.reason,
            Json(&delivered.consequences) as Json<&Vec<Consequence>>,
            Json(&self.arrived.headers) as Json<&KeptHeaders>,
            self.arrived.body.as_deref(),
            self.replay_of.map(|id| id.0),
            first.map(|id| id.0),
            &ids,
            &rules as &[&str],
            &refs as &[&str],
            &commits as &[Option<&str>]
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

/// Hashes these words to a lock key. A collision only makes two transactions wait for each other.
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
