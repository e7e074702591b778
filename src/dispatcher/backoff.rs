//! Retry delays: exponential backoff with jitter.

use std::time::Duration;

use rand::Rng;

/// Returns a delay that doubles from 0.5 s up to 30 s, less a random part of up to half: replicas that failed
/// together do not retry together.
pub(super) fn delay(failures: u32) -> Duration {
    let full = Duration::from_millis(500 * (1 << failures.min(6))).min(Duration::from_secs(30));
    let half = full / 2;
    half + rand::rng().random_range(Duration::ZERO..=half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stays_bounded() {
        for failures in 0..100 {
            let full = Duration::from_millis(500 * (1 << failures.min(6))).min(Duration::from_secs(30));
            let delay = delay(failures);
            assert!(delay >= full / 2 && delay <= full, "{failures}: {delay:?}");
        }
    }
}
