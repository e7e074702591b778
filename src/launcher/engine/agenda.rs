//! Plans observations of builds for which the engine emits no event: at the deadline, at the time of the next
//! attempt, and for the phase of a running container, which only the log shows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::outcome::{Seen, Status};
use crate::domain::{BuildId, Phase};

/// Interval at which a running build's phase is read.
const PHASE: SignedDuration = SignedDuration::from_secs(2);

/// Times of the next observations. Kept in memory only: a process that starts observes every build, and so
/// plans them again.
#[derive(Default)]
pub struct Agenda(Mutex<BTreeMap<BuildId, Timestamp>>);

impl Agenda {
    /// Plans the next observation of a build, in place of an earlier plan.
    pub fn plan(&self, id: BuildId, seen: &[Seen], retry_at: Option<Timestamp>, now: Timestamp) {
        let deadlines = seen.iter().filter_map(Seen::deadline);
        let moves = seen
            .iter()
            .any(|one| matches!(one.status, Status::Running { phase } if phase != Phase::Pushing));
        let phase = moves.then(|| now.checked_add(PHASE).ok()).flatten();
        match deadlines.chain(retry_at).chain(phase).min() {
            Some(due) => drop(self.entries().insert(id, due)),
            None => self.forget(id),
        }
    }

    /// Removes the plan of a build.
    pub fn forget(&self, id: BuildId) {
        self.entries().remove(&id);
    }

    /// Removes the builds that are due and returns them.
    pub fn due(&self, now: Timestamp) -> Vec<BuildId> {
        let mut due = Vec::new();
        self.entries().retain(|id, at| {
            let later = *at > now;
            if !later {
                due.push(*id);
            }
            later
        });
        due
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<BuildId, Timestamp>> {
        // The map is consistent after every operation, so a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn running(phase: Phase) -> Seen {
        Seen {
            id: "a".into(),
            name: "build-a-1".into(),
            number: 1,
            first: None,
            max_retries: 0,
            timeout: SignedDuration::from_secs(60),
            started_at: Some(at(0)),
            status: Status::Running { phase },
        }
    }

    #[test]
    fn what_is_due_is_taken_out_once() {
        let (agenda, id) = (Agenda::default(), BuildId::generate());
        agenda.plan(id, &[running(Phase::Pushing)], None, at(1));
        assert_eq!(agenda.due(at(59)), []);
        assert_eq!(agenda.due(at(60)), [id]);
        assert_eq!(agenda.due(at(61)), []);
    }

    #[test]
    fn a_phase_that_may_move_is_looked_for_before_the_deadline() {
        let (agenda, id) = (Agenda::default(), BuildId::generate());
        agenda.plan(id, &[running(Phase::Building)], None, at(1));
        assert_eq!(agenda.due(at(3)), [id]);
    }

    #[test]
    fn a_build_with_nothing_ahead_is_forgotten() {
        let (agenda, id) = (Agenda::default(), BuildId::generate());
        agenda.plan(id, &[], Some(at(5)), at(1));
        agenda.plan(id, &[], None, at(2));
        assert_eq!(agenda.due(at(9)), []);
    }
}
