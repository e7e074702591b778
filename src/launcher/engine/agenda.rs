//! When to look at a build again although the engine announces nothing: its deadline, the turn of its next attempt,
//! and the phase of what runs, which only the log tells.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::outcome::{Seen, Status};
use crate::domain::{BuildId, Phase};

/// How often a running build's phase is looked for.
const PHASE: SignedDuration = SignedDuration::from_secs(2);

/// What is due when. Kept in memory only: whoever starts looks at everything, and so plans it anew.
#[derive(Default)]
pub struct Agenda(Mutex<BTreeMap<BuildId, Timestamp>>);

impl Agenda {
    /// Notes when a build is to be looked at next, in place of what was noted before.
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

    /// Notes nothing for a build any more.
    pub fn forget(&self, id: BuildId) {
        self.entries().remove(&id);
    }

    /// Takes out what is due.
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
        // A map of times is whole after every step, so a panic elsewhere leaves it usable.
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
