//! Limits of the builds that a project may request, and their current use.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::{Store, StoreError, rows::length};
use crate::domain::{
    NewBuild, ProjectName,
    quota::{QuotaExceeded, QuotaLimit, Quotas},
};

/// Span that `max_per_hour` refers to.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Delay before another try if the wait cannot be estimated, in seconds.
const UNKNOWN: f64 = 10.0;
/// Upper bound of the delay before another try, in seconds; the lower bound is 1 s.
const LONGEST: f64 = 3600.0;
/// Upper bound of the projects with limits that a process remembers.
const REMEMBERED: usize = 10_000;

/// Projects known to have limits: their creations take the locks at once. The storing statement detects the
/// limits of other projects, so this cache saves time and decides nothing.
#[derive(Default)]
pub(super) struct Limited(Mutex<HashSet<ProjectName>>);

impl Limited {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<ProjectName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn(&self, project: &ProjectName) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(project.clone());
    }

    fn forget(&self, project: &str) {
        self.lock().retain(|known| known.as_str() != project);
    }
}

impl Store {
    /// Applies these limits to projects that have none of their own.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Quotas) -> Self {
        self.quotas = quotas;
        self
    }

    /// Returns true if a creation must take locks: its project has limits, as far as known, or it belongs to
    /// a group.
    pub(super) fn needs_locks(&self, build: &NewBuild) -> bool {
        build.spec.concurrency.is_some()
            || self.quotas.any()
            || self.limited.lock().contains(&build.spec.project)
    }

    /// Reads what these builds' projects may still request. The caller must hold the projects' locks.
    pub(super) async fn rooms(
        &self,
        db: &mut PgConnection,
        builds: &[NewBuild],
    ) -> Result<HashMap<String, Room>, StoreError> {
        let names: HashSet<&str> = builds.iter().map(|build| build.spec.project.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let rows = sqlx::query_file!(
            "src/store/quotas.sql",
            &names as &[&str],
            self.quotas.max_queued.map(super::rows::column::<_, i32>),
            self.quotas.max_per_hour.map(super::rows::column::<_, i32>),
            super::rows::column::<_, i64>(builds.len())
        )
        .fetch_all(db)
        .await?;
        let rooms = rows.into_iter().map(|row| {
            let (max_queued, max_per_hour) = (row.max_queued, row.max_per_hour);
            if max_queued.is_none() && max_per_hour.is_none() {
                self.limited.forget(&row.name);
            }
            let room = Room {
                max_queued: max_queued.map(|max| length(max.into())),
                max_per_hour: max_per_hour.map(|max| length(max.into())),
                queued: length(row.queued),
                accepted: length(row.accepted),
                oldest: row.oldest.map(jiff_sqlx::Timestamp::to_jiff),
                now: row.now.to_jiff(),
                next_in: row.next_in,
            };
            (row.name, room)
        });
        Ok(rooms.collect())
    }
}

/// Limits of a project, and their current use.
#[derive(Debug, Clone)]
pub(super) struct Room {
    max_queued: Option<u64>,
    max_per_hour: Option<u64>,
    queued: u64,
    accepted: u64,
    /// Time at which the oldest build that counts against `max_per_hour` was accepted.
    oldest: Option<Timestamp>,
    now: Timestamp,
    /// Estimated number of seconds until its queue moves.
    next_in: Option<f64>,
}

impl Room {
    /// Returns the number of builds that may still be stored.
    pub(super) fn left(&self) -> u64 {
        let left = |max: Option<u64>, used: u64| max.map_or(u64::MAX, |max| max.saturating_sub(used));
        left(self.max_queued, self.queued).min(left(self.max_per_hour, self.accepted))
    }

    /// Counts a stored build.
    pub(super) fn take(&mut self) {
        self.queued += 1;
        self.accepted += 1;
    }

    /// Returns the refusal of further builds. If both limits are reached it names the hourly one, because the
    /// queue moves sooner.
    pub(super) fn refusal(&self, project: &ProjectName) -> QuotaExceeded {
        let hourly = self.max_per_hour.filter(|max| self.accepted >= *max);
        let (limit, max, used) = match hourly {
            Some(max) => (QuotaLimit::MaxPerHour, max, self.accepted),
            None => (
                QuotaLimit::MaxQueued,
                self.max_queued.unwrap_or_default(),
                self.queued,
            ),
        };
        // A limit of 0 never frees a place.
        let frees_at = hourly
            .filter(|max| *max > 0)
            .map(|_| self.oldest.unwrap_or(self.now) + HOUR);
        let seconds = match (limit, frees_at) {
            (QuotaLimit::MaxPerHour, Some(at)) => at.duration_since(self.now).as_secs_f64(),
            (QuotaLimit::MaxPerHour, None) => LONGEST,
            (QuotaLimit::MaxQueued, _) if max == 0 => LONGEST,
            (QuotaLimit::MaxQueued, _) => self.next_in.unwrap_or(UNKNOWN),
        };
        QuotaExceeded {
            project: project.clone(),
            limit,
            max,
            used,
            frees_at,
            retry_after: Duration::from_secs_f64(seconds.ceil().clamp(1.0, LONGEST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        Room {
            max_queued: Some(3),
            max_per_hour: None,
            queued: 3,
            accepted: 0,
            oldest: None,
            now: Timestamp::UNIX_EPOCH,
            next_in: None,
        }
    }

    #[test]
    fn a_refusal_names_the_limit_that_holds_longest_and_when_it_frees() {
        let team: ProjectName = "team".parse().expect("a project's name");
        let full = room().refusal(&team);
        assert_eq!(
            (full.limit, full.used, full.frees_at),
            (QuotaLimit::MaxQueued, 3, None)
        );
        assert_eq!(full.retry_after, Duration::from_secs(10));
        let moves = Room {
            next_in: Some(42.1),
            ..room()
        };
        assert_eq!(moves.refusal(&team).retry_after, Duration::from_secs(43));
        let both = Room {
            max_per_hour: Some(2),
            accepted: 2,
            oldest: Some(Timestamp::UNIX_EPOCH - SignedDuration::from_mins(59)),
            ..room()
        };
        let both = both.refusal(&team);
        assert_eq!((both.limit, both.max), (QuotaLimit::MaxPerHour, 2));
        assert_eq!(both.retry_after, Duration::from_secs(60));
        let never = Room {
            max_per_hour: Some(0),
            ..room()
        };
        let never = never.refusal(&team);
        assert_eq!(
            (never.frees_at, never.retry_after),
            (None, Duration::from_secs(3600))
        );
    }
}
