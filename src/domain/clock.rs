//! Time as a value that is passed in. Comparisons across machines use the database's clock instead.

use jiff::Timestamp;

/// Source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// Clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_clock_of_this_century() {
        let clock: &dyn Clock = &SystemClock;
        let start: Timestamp = "2020-01-01T00:00:00Z".parse().expect("a valid time");
        assert!(clock.now() > start);
    }
}
