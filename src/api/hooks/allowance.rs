//! How many deliveries a trigger takes. Each process counts for itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    api::problem::{Code, Problem},
    domain::TriggerId,
};

/// What each trigger still takes: a minute's worth may come at once. Cheap to clone.
#[derive(Clone)]
pub(in crate::api) struct Allowances {
    per_minute: u32,
    left: Arc<Mutex<HashMap<TriggerId, Left>>>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    deliveries: f64,
    at: Instant,
}

impl Allowances {
    /// So many deliveries a minute; 0: any number.
    pub(in crate::api) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            left: Arc::default(),
        }
    }

    /// Refuses where nothing is left, and takes nothing: what calls triggers that do not exist is not counted, since
    /// it would be remembered.
    pub(super) fn has_some(&self, id: TriggerId) -> Result<(), Problem> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.get(&id) {
            Some(left) if self.refilled(*left, Instant::now()) < 1.0 => Err(too_many()),
            _ => Ok(()),
        }
    }

    /// Takes a delivery of a trigger that there is.
    pub(super) fn take(&self, id: TriggerId) -> Result<(), Problem> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.entry(id).or_insert(Left {
            deliveries: self.per_minute.into(),
            at: now,
        });
        let deliveries = self.refilled(*left, now);
        if deliveries < 1.0 {
            return Err(too_many());
        }
        *left = Left {
            deliveries: deliveries - 1.0,
            at: now,
        };
        Ok(())
    }

    fn refilled(&self, left: Left, now: Instant) -> f64 {
        let full = f64::from(self.per_minute);
        let passed = now.saturating_duration_since(left.at).as_secs_f64();
        (left.deliveries + passed * full / 60.0).min(full)
    }
}

fn too_many() -> Problem {
    Problem::new(Code::RateLimited).detail("the trigger takes no more deliveries just now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trigger_has_its_own_allowance() {
        let allowances = Allowances::new(2);
        let (busy, idle) = (TriggerId::generate(), TriggerId::generate());
        for _ in 0..2 {
            assert!(allowances.take(busy).is_ok());
        }
        assert!(allowances.take(busy).is_err() && allowances.has_some(busy).is_err());
        assert!(allowances.has_some(idle).is_ok() && allowances.take(idle).is_ok());
    }

    #[test]
    fn it_fills_with_time_and_never_above_a_minutes_worth() {
        let allowances = Allowances::new(60);
        let now = Instant::now();
        let empty = Left {
            deliveries: 0.0,
            at: now,
        };
        let after = |seconds| allowances.refilled(empty, now + std::time::Duration::from_secs(seconds));
        assert!((after(3) - 3.0).abs() < 1e-6);
        assert!((after(3600) - 60.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_counted_where_any_number_may_come() {
        let allowances = Allowances::new(0);
        let id = TriggerId::generate();
        assert!((0..1000).all(|_| allowances.has_some(id).is_ok() && allowances.take(id).is_ok()));
    }
}
