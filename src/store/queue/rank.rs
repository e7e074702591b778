//! Position of a build in its project's queue, computed from a bounded count.

/// Numbers that determine a build's position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    /// Upper bound of builds counted in each direction.
    pub(super) counted: u64,
    /// Number of its project's builds of higher priority.
    pub(super) above: u64,
    /// Number of its project's builds of the same priority, itself included.
    pub(super) lane: u64,
    /// Number of builds counted before it in its lane.
    pub(super) before: u64,
    /// Number of builds counted behind it in its lane; counted only if `before` reaches the bound.
    pub(super) behind: u64,
    /// If both counts reach the bound: its position in time between the last build counted before it (0) and
    /// the end of the lane (1).
    pub(super) share_of_rest: Option<f64>,
}

impl Rank {
    /// Returns the position, counted from 1.
    pub(super) fn position(&self) -> u64 {
        self.above + self.before_it() + 1
    }

    /// Returns true if the position is an estimate, because both counts reach the bound.
    pub(super) fn is_estimate(&self) -> bool {
        self.before >= self.counted && self.behind >= self.counted
    }

    fn before_it(&self) -> u64 {
        if self.before < self.counted {
            return self.before;
        }
        let others = self.lane.saturating_sub(1);
        let most = others.saturating_sub(self.behind).max(self.counted);
        if self.behind < self.counted {
            return most;
        }
        // Assumes that builds arrived evenly over time.
        let share = self.share_of_rest.unwrap_or(0.5).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is no more than that"
        )]
        let rest = (others.saturating_sub(self.counted) as f64 * share) as u64;
        (self.counted + rest).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(before: u64, behind: u64, share_of_rest: Option<f64>) -> Rank {
        Rank {
            counted: 100,
            above: 7,
            lane: 10_001,
            before,
            behind,
            share_of_rest,
        }
    }

    #[test]
    fn both_ends_of_a_lane_are_exact_and_the_middle_is_told_by_time() {
        for (rank, position, estimate) in [
            (rank(0, 0, None), 8, false),
            (rank(99, 0, None), 107, false),
            (rank(100, 0, None), 10_008, false),
            (rank(100, 99, None), 9_909, false),
            (rank(100, 100, Some(0.5)), 5_058, true),
            (rank(100, 100, Some(7.0)), 9_908, true),
            (rank(100, 100, None), 5_058, true),
        ] {
            assert_eq!(
                (rank.position(), rank.is_estimate()),
                (position, estimate),
                "{rank:?}"
            );
        }
    }

    #[test]
    fn a_sum_that_is_wrong_never_contradicts_the_count() {
        let wrong = Rank {
            lane: 0,
            ..rank(100, 3, None)
        };
        assert_eq!(wrong.position(), 108);
    }
}
