//! A build's place in its project's queue, from a bounded count.

/// What is known of a build's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    /// Builds that are counted one by one, at most.
    pub(super) counted: u64,
    /// Builds of its project of higher priority.
    pub(super) above: u64,
    /// Builds of its project and priority, itself included.
    pub(super) lane: u64,
    /// Of these, counted before it.
    pub(super) before: u64,
    /// And behind it; counted only where those before it are too many.
    pub(super) behind: u64,
    /// Where both are too many: how far it is from the last that was counted to the end of the lane, in time.
    pub(super) share_of_rest: Option<f64>,
}

impl Rank {
    /// From 1.
    pub(super) fn position(&self) -> u64 {
        self.above + self.before_it() + 1
    }

    /// Whether nobody counted.
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
        // As if builds had come in evenly.
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
