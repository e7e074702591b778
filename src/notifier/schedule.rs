//! Retry schedules of notifications.

use std::time::Duration;

use rand::Rng;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Pauses in seconds after the first delivery attempt to a webhook endpoint, the second, …: three days in
/// all.
const ENDPOINT: [u64; 9] = [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
/// Pauses in seconds after the delivery attempts of a commit status, which is of no use a day later.
const STATUS: [u64; 6] = [5, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR];

/// Returns the pause after this delivery attempt to a webhook endpoint, counted from 1; `None` after the last
/// one.
pub(super) fn endpoint(round: u32) -> Option<Duration> {
    pause(&ENDPOINT, round)
}

/// Returns the pause after this delivery attempt of a commit status, counted from 1; `None` after the last
/// one.
pub(super) fn status(round: u32) -> Option<Duration> {
    pause(&STATUS, round)
}

/// Returns the pause, lengthened by up to 20 %, so that notifications that failed together are not retried
/// together.
fn pause(pauses: &[u64], round: u32) -> Option<Duration> {
    let nth = usize::try_from(round.checked_sub(1)?).ok()?;
    let pause = Duration::from_secs(*pauses.get(nth)?);
    Some(rand::rng().random_range(pause..=pause * 6 / 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<Duration> = (1..).map_while(endpoint).collect();
        assert_eq!(pauses.len(), 9, "ten tries in all");
        assert!(pauses.is_sorted());
        let all: Duration = pauses.iter().sum();
        assert!((3..=4).contains(&(all.as_secs() / 86_400)), "{all:?}");
        assert_eq!(endpoint(0), None);
        assert_eq!((1..).map_while(status).count(), 6);
    }
}
