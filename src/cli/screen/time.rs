//! Formats times and durations in few characters.

use std::time::Duration;

use jiff::Timestamp;

/// Formats a duration in at most two units: `45s`, `3m 20s`, `2h 5m`, `3d 4h`.
pub(in crate::cli) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |big: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit} {small}{smaller}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Formats the time since `at` in one unit. A time in the future counts as now, since clocks differ.
pub(in crate::cli) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = between(at, now).as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// Returns the time from one moment to another, or zero if `to` is before `from`.
pub(in crate::cli) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Converts seconds in the service's form.
pub(in crate::cli) fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text, since) in [
            (0, "0s", "0s ago"),
            (59, "59s", "59s ago"),
            (60, "1m", "1m ago"),
            (200, "3m 20s", "3m ago"),
            (7_500, "2h 5m", "2h ago"),
            (86_400, "1d", "1d ago"),
            (273_600, "3d 4h", "3d ago"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
            let then = Timestamp::from_second(1_800_000_000).expect("a moment");
            let now = then + Duration::from_secs(seconds);
            assert_eq!(ago(then, now), since);
            assert_eq!(ago(now + Duration::from_secs(5), now), "0s ago", "clocks differ");
        }
    }
}
