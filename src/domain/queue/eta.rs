//! When a queued build may be done: told from how long those before it will take, and those like it took.

use super::Share;

/// The share of a normal distribution's width at which nine of ten lie below.
const NINE_OF_TEN: f64 = 1.2816;

/// How long until a queued build has ended, if it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// As likely earlier as later.
    pub p50_seconds: u64,
    /// Nine of ten times earlier.
    pub p90_seconds: u64,
}

/// For how many seconds earlier builds held their slots.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Those for the same repository.
    pub repository: Vec<f64>,
    /// Those of the project, these included.
    pub project: Vec<f64>,
}

/// What stands between a queued build and its slot.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Its place in its project's queue, from 1.
    pub position: u64,
    /// Builds of all projects that go before it.
    pub ahead: u64,
    /// Its project.
    pub own: Share,
    /// Slots in all.
    pub slots: u64,
    /// Of these, in use.
    pub held: u64,
}

impl Eta {
    /// Told from the history; `None` without one, and where nothing is ever started.
    pub fn of(load: &Load, history: &History) -> Option<Self> {
        let own = match history.repository.as_slice() {
            [] => &history.project,
            own => own,
        };
        let (p50, p90) = (quantile(own, 0.5)?, quantile(own, 0.9)?);
        let (mean, deviation) = spread(&history.project)?;
        let [first, second] = load.rounds()?.map(|rounds| {
            let middle = mean * rounds.completions / rounds.slots + p50;
            // The sum of many times is told better than any single one of them.
            let sum = NINE_OF_TEN * deviation * rounds.completions.sqrt() / rounds.slots;
            (middle, middle + sum.hypot(p90 - p50))
        });
        Some(Self {
            p50_seconds: whole(first.0.max(second.0)),
            p90_seconds: whole(first.1.max(second.1)),
        })
    }
}

/// Builds that must end first, and the slots that they end on.
struct Rounds {
    completions: f64,
    slots: f64,
}

impl Load {
    /// By the project's own limit, and by all slots: whichever takes longer counts.
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

/// The value below which this share of them lies.
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

/// Mean and standard deviation.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (!values.is_empty()).then(|| (mean, variance.sqrt()))
}

/// Whole seconds, rounded up.
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
