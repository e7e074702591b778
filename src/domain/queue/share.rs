//! Fair share: the order in which claims take builds of different projects.

/// Numbers of a project that determine its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its weight, at least 1.
    pub weight: u32,
    /// Number of slots that it may hold at once.
    pub limit: u64,
    /// Number of slots that it holds.
    pub held: u64,
    /// Number of its queued builds.
    pub queued: u64,
}

/// Builds of another project that start before a given build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Number of builds that start first because of their project's share alone.
    pub sure: u64,
    /// `true` if the next of them has the same share: then priority, age and id decide.
    pub tie: bool,
}

impl Share {
    /// Returns the number of slots that it may still take.
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.held)
    }

    /// Returns the key by which the claim sorts the project's `nth` queued build (from 1). The arithmetic
    /// equals the claim's.
    fn turn(&self, nth: u64) -> f64 {
        let slots = (self.held + nth.saturating_sub(1)) as f64;
        slots / f64::from(self.weight.max(1))
    }

    /// Counts the builds of `other` that start before this project's `nth` queued build (from 1).
    ///
    /// A project with a limit of 0 delays no other. Any other limit is ignored here: it only postpones
    /// builds.
    pub fn ahead(&self, nth: u64, other: &Self) -> Ahead {
        if other.limit == 0 {
            return Ahead { sure: 0, tie: false };
        }
        let turn = self.turn(nth);
        // Turns grow with each build, so the first ones are those that start earlier.
        let (mut sure, mut after) = (0, other.queued);
        while sure < after {
            let middle = sure + (after - sure).div_ceil(2);
            if other.turn(middle) < turn {
                sure = middle;
            } else {
                after = middle - 1;
            }
        }
        // Compares floats exactly, as the claim does.
        let tie = sure < other.queued && other.turn(sure + 1) == turn;
        Ahead { sure, tie }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares() -> impl Strategy<Value = Share> {
        (1..5_u32, 0..4_u64, 0..6_u64, 0..40_u64).prop_map(|(weight, limit, held, queued)| Share {
            weight,
            limit,
            held,
            queued,
        })
    }

    #[test]
    fn the_project_with_the_least_share_goes_first() {
        let idle = Share {
            weight: 1,
            limit: 10,
            held: 0,
            queued: 3,
        };
        let busy = Share { held: 2, ..idle };
        let heavy = Share { weight: 3, ..idle };
        assert_eq!(busy.ahead(1, &idle), Ahead { sure: 2, tie: true });
        assert_eq!(idle.ahead(1, &busy), Ahead { sure: 0, tie: false });
        assert_eq!(idle.ahead(2, &heavy), Ahead { sure: 3, tie: false });
        assert_eq!(heavy.ahead(3, &idle), Ahead { sure: 1, tie: false });
    }

    proptest! {
        #[test]
        fn what_goes_before_is_what_has_the_smaller_turn(own in shares(), other in shares(), nth in 1..50_u64) {
            let before = |n: &u64| other.limit > 0 && other.turn(*n) < own.turn(nth);
            let sure = (1..=other.queued).filter(before).count() as u64;
            prop_assert_eq!(own.ahead(nth, &other).sure, sure);
        }

        #[test]
        fn a_later_build_has_no_fewer_before_it(own in shares(), other in shares(), nth in 1..50_u64) {
            prop_assert!(own.ahead(nth, &other).sure <= own.ahead(nth + 1, &other).sure);
        }
    }
}
