//! Creates builds under locks, if their project has limits or they belong to a concurrency group.
//!
//! The locks are taken before the statements that count and select, so each holder sees what the previous
//! holder committed. Limits are therefore exact over all replicas, and the newest build of a group is always
//! known. Other creations take no lock.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;

use super::{
    Store, StoreError, Topic, begin, claim,
    insert::{Inserted, insert},
    quotas::Room,
    supersede::Superseded,
};
use crate::domain::{BuildId, NewBuild, State};

/// Results for builds within a transaction that has not ended.
#[derive(Default)]
pub(super) struct Admitted {
    /// One result for each build, in the order of the builds; never [`Inserted::Limited`].
    pub(super) answers: Vec<Inserted>,
    /// Builds that the new builds supersede.
    superseded: Vec<Superseded>,
}

impl Admitted {
    /// Wraps the results of builds that supersede none.
    pub(super) fn without_locks(answers: Vec<Inserted>) -> Self {
        Self {
            answers,
            ..Self::default()
        }
    }
}

impl Store {
    /// Stores the builds that fit in their projects' limits, with all related rows, in one transaction.
    /// Returns one result for each build, in their order, never [`Inserted::Limited`].
    pub(super) async fn insert_locked(&self, builds: &[NewBuild]) -> Result<Vec<Inserted>, StoreError> {
        // Uses the indexes, as claims do: the statistics of a queue are always out of date.
        let mut db = begin::begin_with(self.creating.released(), claim::BEGIN).await?;
        let admitted = self.admit(&mut db, builds).await?;
        db.commit().await?;
        self.tell_superseded(&admitted);
        Ok(admitted.answers)
    }

    /// Stores builds as [`Store::insert_locked`] does, within the caller's transaction, which holds the locks
    /// until it ends. That transaction must be short and must not have taken a lock of a project or group
    /// before. After its commit, call [`Store::tell_superseded`].
    pub(super) async fn admit(
        &self,
        db: &mut PgConnection,
        builds: &[NewBuild],
    ) -> Result<Admitted, StoreError> {
        lock(db, builds).await?;
        let mut rooms = self.rooms(db, builds).await?;
        let mut answers = repeated(db, builds).await?;
        loop {
            let taken = next(builds, &answers, &rooms);
            if taken.is_empty() {
                break;
            }
            let stored = insert(&mut *db, taken.iter().map(|nth| &builds[*nth]), true).await?;
            for (nth, one) in taken.into_iter().zip(stored) {
                let room = rooms.get_mut(builds[nth].spec.project.as_str());
                if let (Inserted::New(_), Some(room)) = (&one, room) {
                    room.take();
                }
                answers[nth] = Some(one);
            }
        }
        let superseded = self.supersede(db, &grouped(builds, &answers)).await?;
        let overtaken = |id| superseded.iter().any(|one| one.id == id);
        let answers = builds.iter().zip(answers).map(|(build, answer)| match answer {
            Some(Inserted::New(_)) if overtaken(build.id) => Inserted::Overtaken,
            Some(answer) => answer,
            None => match rooms.get(build.spec.project.as_str()) {
                Some(room) => Inserted::OverQuota(Box::new(room.refusal(&build.spec.project))),
                None => Inserted::NotYet,
            },
        });
        Ok(Admitted {
            answers: answers.collect(),
            superseded,
        })
    }

    /// Wakes the waiters of the superseded builds.
    pub(super) fn tell_superseded(&self, admitted: &Admitted) {
        let ids: Vec<BuildId> = admitted.superseded.iter().map(|one| one.id).collect();
        self.builds_changed(&ids);
        if admitted
            .superseded
            .iter()
            .any(|one| one.state == State::Cancelling)
        {
            self.wake(Topic::Cancel);
        }
    }
}

/// Takes the locks of these builds' projects and groups, always in the same order.
async fn lock(db: &mut PgConnection, builds: &[NewBuild]) -> Result<(), StoreError> {
    let mut names = BTreeSet::new();
    for build in builds {
        let project = &build.spec.project;
        names.insert(format!("slipway quota {project}"));
        if let Some(concurrency) = &build.spec.concurrency {
            names.insert(format!("slipway group {project} {}", concurrency.group));
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    sqlx::query!(
        "
        SELECT pg_advisory_xact_lock(key) FROM (
            SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) name ORDER BY key OFFSET 0
        ) keys
        ",
        &names
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Marks builds whose idempotency key is already used, or appears twice in the batch: they are looked up
/// later and count against no limit.
async fn repeated(db: &mut PgConnection, builds: &[NewBuild]) -> Result<Vec<Option<Inserted>>, StoreError> {
    let keys = builds.iter().filter_map(|build| {
        let key = build.idempotency.as_ref()?;
        Some((build.spec.project.as_str(), key.key.as_str()))
    });
    let (projects, keys): (Vec<&str>, Vec<&str>) = keys.unzip();
    let mut known = HashSet::new();
    if !keys.is_empty() {
        let rows = sqlx::query!(
            r#"
            SELECT p.name, k.key FROM unnest($1::text[], $2::text[]) wanted (project, key)
            JOIN projects p ON p.name = wanted.project
            JOIN idempotency_keys k ON k.project_id = p.id AND k.key = wanted.key
            "#,
            &projects as &[&str],
            &keys as &[&str]
        )
        .fetch_all(db)
        .await?;
        known.extend(rows.into_iter().map(|row| (row.name, row.key)));
    }
    let answers = builds.iter().map(|build| {
        let key = build.idempotency.as_ref()?;
        let new = known.insert((build.spec.project.to_string(), key.key.clone()));
        (!new).then_some(Inserted::NotYet)
    });
    Ok(answers.collect())
}

/// Selects the builds to store next: for each project no more than fit in its limits. A build that cannot be
/// stored leaves its room to the next one.
fn next(builds: &[NewBuild], answers: &[Option<Inserted>], rooms: &HashMap<String, Room>) -> Vec<usize> {
    let mut taken: HashMap<&str, u64> = HashMap::new();
    let unanswered = (0..builds.len()).filter(|nth| answers[*nth].is_none());
    let fits = |nth: &usize| {
        let project = builds[*nth].spec.project.as_str();
        let count = taken.entry(project).or_default();
        *count += 1;
        rooms.get(project).is_some_and(|room| *count <= room.left())
    };
    unanswered.filter(fits).collect()
}

/// Selects the stored builds that belong to a concurrency group.
fn grouped(builds: &[NewBuild], answers: &[Option<Inserted>]) -> Vec<BuildId> {
    let stored = builds.iter().zip(answers).filter(|(build, answer)| {
        build.spec.concurrency.is_some() && matches!(answer, Some(Inserted::New(_)))
    });
    stored.map(|(build, _)| build.id).collect()
}
