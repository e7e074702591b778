//! Creation under locks: of builds whose project has limits, and of those that are of a group.
//!
//! The locks come before the statements that count and look: whoever holds one sees what the holder before committed.
//! So limits hold exactly over all replicas, and of a group the newest is always known. Other creations take no lock.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;

use super::{
    Store, StoreError, Topic, begin, claim,
    insert::{Inserted, insert},
    quotas::Room,
    supersede::Superseded,
};
use crate::domain::{BuildId, NewBuild, State};

/// What came of builds in a transaction that has not ended yet.
#[derive(Default)]
pub(super) struct Admitted {
    /// For each build, in their order; never [`Inserted::Limited`].
    pub(super) answers: Vec<Inserted>,
    /// What they put an end to.
    superseded: Vec<Superseded>,
}

impl Admitted {
    /// What came of builds that put an end to none.
    pub(super) fn without_locks(answers: Vec<Inserted>) -> Self {
        Self {
            answers,
            ..Self::default()
        }
    }
}

impl Store {
    /// Stores these builds with all that belongs to them, as far as their projects may have them; one transaction.
    /// Answers in their order, never [`Inserted::Limited`].
    pub(super) async fn insert_locked(&self, builds: &[NewBuild]) -> Result<Vec<Inserted>, StoreError> {
        // By the indexes, as claims: statistics of a queue are always out of date.
        let mut db = begin::begin_with(self.creating.released(), claim::BEGIN).await?;
        let admitted = self.admit(&mut db, builds).await?;
        db.commit().await?;
        self.tell_superseded(&admitted);
        Ok(admitted.answers)
    }

    /// The same within a transaction, which holds the locks to its end: it must be short, and take no lock of a project
    /// or group before. After the commit, [`Store::tell_superseded`].
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

    /// Wakes those who wait for what was superseded.
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

/// Takes the locks of these builds' projects and groups, all of them in one order.
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

/// Those whose keys were used before, or come a second time: they are looked up, and count against nothing.
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

/// The builds to store next: of each project no more than it has room for. One that turns out not to be storable leaves
/// its room to the next.
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

/// Those that were stored and are of a group.
fn grouped(builds: &[NewBuild], answers: &[Option<Inserted>]) -> Vec<BuildId> {
    let stored = builds.iter().zip(answers).filter(|(build, answer)| {
        build.spec.concurrency.is_some() && matches!(answer, Some(Inserted::New(_)))
    });
    stored.map(|(build, _)| build.id).collect()
}
