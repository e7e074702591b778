//! Position of a queued build, the estimate of its end, and the cause of its wait.

mod eta;
mod share;

use jiff::Timestamp;

pub use eta::{Eta, History, Load};
pub use share::{Ahead, Share};

/// Position of a queued build.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Position in its own project's queue; 1 is next.
    pub position: u64,
    /// Number of builds of all projects that would start before it, as of now.
    pub ahead: u64,
    /// `true` if `position` or `ahead` is an estimate: a long queue is not counted to its end.
    pub estimated: bool,
    /// Estimated time until its end; unknown without a history.
    pub eta: Option<Eta>,
    /// Cause of its wait.
    pub waiting_for: WaitingFor,
}

/// Cause of a queued build's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// A slot; if slots are free, only the next claim.
    Slot {
        /// Total number of slots.
        slots: u64,
        /// `true` if slots are free.
        free: bool,
    },
    /// One of its project's own slots, all of which are in use.
    ProjectLimit {
        /// Number of the project's slots.
        limit: u64,
    },
    /// The cluster, or a dispatcher that launches the build.
    Cluster {
        /// `true` if a dispatcher is alive.
        dispatcher: bool,
    },
    /// The next try of its launch, after an earlier one failed.
    Retry {
        /// Time of the next try.
        at: Timestamp,
    },
}

/// State that the dispatchers report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Total number of slots.
    pub slots: u64,
    /// Number of slots of a project that has no limit of its own.
    pub per_project: u64,
    /// `true` if the cluster accepts launches, as far as any dispatcher has observed.
    pub answers: bool,
}

impl WaitingFor {
    /// Determines the cause of a build's wait. `put_off` is the time of the next try of its launch, if that
    /// is in the future; `held` is the number of all slots in use; `service` is `None` while no dispatcher is
    /// alive.
    pub fn of(put_off: Option<Timestamp>, service: Option<&Service>, own: &Share, held: u64) -> Self {
        let Some(service) = service else {
            return Self::Cluster { dispatcher: false };
        };
        match put_off {
            Some(at) => Self::Retry { at },
            None if !service.answers => Self::Cluster { dispatcher: true },
            None if own.room() == 0 => Self::ProjectLimit { limit: own.limit },
            None => Self::Slot {
                slots: service.slots,
                free: held < service.slots,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service {
        slots: 4,
        per_project: 2,
        answers: true,
    };

    fn own(held: u64) -> Share {
        Share {
            weight: 1,
            limit: 2,
            held,
            queued: 5,
        }
    }

    #[test]
    fn what_a_build_waits_for_is_the_first_thing_that_must_change() {
        let later = Some(Timestamp::UNIX_EPOCH);
        let away = Service {
            answers: false,
            ..SERVICE
        };
        let at = Timestamp::UNIX_EPOCH;
        for (put_off, service, own, held, expected) in [
            (later, None, own(2), 4, WaitingFor::Cluster { dispatcher: false }),
            (later, Some(&away), own(2), 4, WaitingFor::Retry { at }),
            (
                None,
                Some(&away),
                own(2),
                4,
                WaitingFor::Cluster { dispatcher: true },
            ),
            (
                None,
                Some(&SERVICE),
                own(2),
                4,
                WaitingFor::ProjectLimit { limit: 2 },
            ),
            (
                None,
                Some(&SERVICE),
                own(1),
                4,
                WaitingFor::Slot {
                    slots: 4,
                    free: false,
                },
            ),
            (
                None,
                Some(&SERVICE),
                own(1),
                3,
                WaitingFor::Slot { slots: 4, free: true },
            ),
        ] {
            assert_eq!(WaitingFor::of(put_off, service, &own, held), expected);
        }
    }
}
