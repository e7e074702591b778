//! Where a queued build stands, when it may be done, and what it waits for.

mod eta;
mod share;

use jiff::Timestamp;

pub use eta::{Eta, History, Load};
pub use share::{Ahead, Share};

/// Where a queued build stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its place in its own project's queue; 1 is next.
    pub position: u64,
    /// Builds of all projects that would start before it by what is known now.
    pub ahead: u64,
    /// Whether either of them is an estimate: nobody counts through a long queue.
    pub estimated: bool,
    /// When it may have ended; unknown without a history.
    pub eta: Option<Eta>,
    /// What it waits for.
    pub waiting_for: WaitingFor,
}

/// What a queued build waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// A free slot, of this many in all; or only for its turn to be taken.
    Slot {
        /// Slots in all.
        slots: u64,
        /// Whether some are free.
        free: bool,
    },
    /// One of its project's own slots, of this many.
    ProjectLimit {
        /// The project's slots.
        limit: u64,
    },
    /// The cluster, or the dispatcher that would launch it.
    Cluster {
        /// Whether any dispatcher is there.
        dispatcher: bool,
    },
    /// The moment at which its launch, which did not come about before, is tried again.
    Retry {
        /// That moment.
        at: Timestamp,
    },
}

/// What dispatchers say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Slots in all.
    pub slots: u64,
    /// Slots of a project that has no limit of its own.
    pub per_project: u64,
    /// Whether the cluster takes launches, as far as any of them knows.
    pub answers: bool,
}

impl WaitingFor {
    /// What holds a build up. `put_off` is when its launch may be tried again, if that is still to come; `held` are the
    /// slots in use in all; `service` is unknown while no dispatcher is there.
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
