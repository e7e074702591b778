//! Estimate of a queued build's end, from the durations of the builds before it and of similar ones.

use super::Share;

/// Number of standard deviations above the mean below which 90 % of a normal distribution lie.
const NINE_OF_TEN: f64 = 1.2816;

/// Time until a queued build ends, if it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// Median, in seconds.
    pub p50_seconds: u64,
    /// 90th percentile, in seconds.
    pub p90_seconds: u64,
}

/// Seconds for which earlier builds held their slots.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Durations of builds for the same repository.
    pub repository: Vec<f64>,
    /// Durations of all builds of the project, those for the repository included.
    pub project: Vec<f64>,
}

/// Load that delays a queued build.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The build's position in its project's queue, from 1.
    pub position: u64,
    /// Number of builds of all projects that start before it.
    pub ahead: u64,
    /// Share of its project.
    pub own: Share,
    /// Total number of slots.
    pub slots: u64,
    /// Number of slots in use.
    pub held: u64,
}

impl Eta {
    /// Estimates the time from the history; `None` without a history, and if no build can ever start.
    pub fn of(load: &Load, history: &History) -> Option<Self> {
        let own = match history.repository.as_slice() {
            [] => &history.project,
            own => own,
        };
        let (p50, p90) = (quantile(own, 0.5)?, quantile(own, 0.9)?);
        let (mean, deviation) = spread(&history.project)?;
        let [first, second] = load.rounds()?.map(|rounds| {
            let middle = mean * rounds.completions / rounds.slots + p50;
            // A sum of many durations is more predictable than a single one.
            let sum = NINE_OF_TEN * deviation * rounds.completions.sqrt() / rounds.slots;
            (middle, middle + sum.hypot(p90 - p50))
        });
        Some(Self {
            p50_seconds: whole(first.0.max(second.0)),
            p90_seconds: whole(first.1.max(second.1)),
        })
    }
}

/// Number of builds that must end first, and of the slots that they run on.
struct Rounds {
    completions: f64,
    slots: f64,
}

impl Load {
    /// Returns the rounds for the project's own limit and for all slots; the one that takes longer counts.
    /// `None` if one of them has no slots.
    fn rounds(&self) -> Option<[Rounds; 2]> {
        if self.own.limit == 0 || self.slots == 0 {
            return None;
        }
        let free = self.slots.saturating_sub(self.held);
        Some([
            rounds(self.position.saturating_sub(self.own.room()), self.own.limit),
            rounds((self.ahead + 1).saturating_sub(free), self.slots),
        ])
    }
}

fn rounds(completions: u64, slots: u64) -> Rounds {
    Rounds {
        completions: completions as f64,
        slots: slots as f64,
    }
}

/// Returns the value below which this share of the values lies.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred values, and a share of them"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Returns mean and standard deviation.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (!values.is_empty()).then(|| (mean, variance.sqrt()))
}

/// Rounds up to whole seconds.
fn whole(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are not negative, and what is too much for an integer becomes the greatest one"
    )]
    let whole = seconds.max(0.0).ceil() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn load(position: u64, ahead: u64) -> Load {
        Load {
            position,
            ahead,
            own: Share {
                weight: 1,
                limit: 2,
                held: 2,
                queued: 100,
            },
            slots: 10,
            held: 10,
        }
    }

    fn steady(seconds: f64) -> History {
        History {
            repository: Vec::new(),
            project: vec![seconds; 20],
        }
    }

    #[test]
    fn the_limit_that_binds_is_what_counts() {
        let seconds =
            |load: &Load| Eta::of(load, &steady(60.0)).map(|eta| (eta.p50_seconds, eta.p90_seconds));
        assert_eq!(
            seconds(&load(4, 3)),
            Some((180, 180)),
            "4 builds on 2 slots, then its own minute"
        );
        assert_eq!(seconds(&load(1, 49)), Some((360, 360)), "50 builds on 10 slots");
        let mut idle = load(1, 0);
        (idle.own.held, idle.held) = (0, 0);
        assert_eq!(seconds(&idle), Some((60, 60)), "it starts at once");
    }

    #[test]
    fn a_repository_speaks_for_itself_and_the_project_for_those_ahead() {
        let history = History {
            repository: vec![600.0; 5],
            project: vec![60.0; 50],
        };
        let eta = Eta::of(&load(2, 0), &history).expect("there is a history");
        assert_eq!(eta.p50_seconds, 660);
    }

    #[test]
    fn nothing_is_told_without_a_history_or_without_slots() {
        assert_eq!(Eta::of(&load(1, 0), &History::default()), None);
        let mut paused = load(1, 0);
        paused.own.limit = 0;
        assert_eq!(Eta::of(&paused, &steady(1.0)), None);
        let none = Load {
            slots: 0,
            ..load(1, 0)
        };
        assert_eq!(Eta::of(&none, &steady(1.0)), None);
    }

    proptest! {
        #[test]
        fn more_ahead_never_means_sooner(
            durations in vec(0.0..100_000.0_f64, 1..60),
            position in 1..1_000_000_u64,
            ahead in 0..10_000_000_u64,
        ) {
            let history = History { repository: durations.clone(), project: durations };
            let now = Eta::of(&load(position, ahead), &history).expect("there is a history");
            let later = Eta::of(&load(position + 1, ahead + 10), &history).expect("there is a history");
            prop_assert!(now.p50_seconds <= now.p90_seconds);
            prop_assert!(now.p50_seconds <= later.p50_seconds && now.p90_seconds <= later.p90_seconds);
        }
    }
}
