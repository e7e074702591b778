//! Fair shares of the projects in the queue.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::{
    domain::queue::{Service, Share},
    store::{Store, rows::length},
};

/// Number of projects from which on their shares are cached for [`FRESH`].
const MANY: usize = 256;
/// Time for which cached shares are used.
const FRESH: Duration = Duration::from_secs(1);

/// Project with its share, as stored.
pub(super) struct ProjectShare {
    pub(super) project_id: i64,
    pub(super) share: Share,
}

/// Cached shares of many projects, with the time at which they were read.
#[derive(Default)]
pub(in crate::store) struct Shares(Mutex<Option<(Instant, Arc<[ProjectShare]>)>>);

impl Shares {
    fn fresh(&self, now: Instant) -> Option<Arc<[ProjectShare]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, shares) = kept.as_ref()?;
        (now.duration_since(*read) < FRESH).then(|| Arc::clone(shares))
    }

    fn keep(&self, shares: &Arc<[ProjectShare]>, now: Instant) {
        if shares.len() >= MANY {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some((now, Arc::clone(shares)));
        }
    }
}

impl Store {
    /// Returns the share of every project that has queued builds or holds slots, from the cache if it is
    /// fresh.
    pub(super) async fn known_shares(
        &self,
        db: &mut PgConnection,
        service: Option<&Service>,
    ) -> Result<Arc<[ProjectShare]>, sqlx::Error> {
        if let Some(shares) = self.shares.fresh(Instant::now()) {
            return Ok(shares);
        }
        let shares: Arc<[_]> = shares(db, service).await?.into();
        self.shares.keep(&shares, Instant::now());
        Ok(shares)
    }
}

/// Returns the share of a project that is not among the known ones: no slot held, one build queued.
pub(super) fn alone(service: Option<&Service>) -> Share {
    Share {
        weight: 1,
        limit: service.map_or(u64::MAX, |service| service.per_project),
        held: 0,
        queued: 1,
    }
}

/// Reads the share of every project that has queued builds or holds slots.
async fn shares(db: &mut PgConnection, service: Option<&Service>) -> Result<Vec<ProjectShare>, sqlx::Error> {
    let per_project = service.map_or(u64::MAX, |service| service.per_project);
    let rows = sqlx::query_file!("src/store/queue/shares.sql")
        .fetch_all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| ProjectShare {
            project_id: row.id,
            share: Share {
                weight: u32::try_from(row.weight).unwrap_or(1),
                limit: row.max_running.map_or(per_project, |limit| length(limit.into())),
                held: length(row.held),
                queued: length(row.queued),
            },
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(projects: usize) -> Arc<[ProjectShare]> {
        (0..)
            .take(projects)
            .map(|project_id| ProjectShare {
                project_id,
                share: alone(None),
            })
            .collect()
    }

    #[test]
    fn the_shares_of_many_projects_serve_for_a_second_and_those_of_few_not_at_all() {
        let now = Instant::now();
        let kept = Shares::default();
        kept.keep(&shares(MANY - 1), now);
        assert!(kept.fresh(now).is_none());
        kept.keep(&shares(MANY), now);
        assert_eq!(kept.fresh(now + FRESH / 2).map(|shares| shares.len()), Some(MANY));
        assert!(kept.fresh(now + FRESH).is_none());
    }
}
