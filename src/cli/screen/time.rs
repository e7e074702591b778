//! Times and amounts in few characters.

use std::time::Duration;

use jiff::Timestamp;

/// `45s`, `3m 20s`, `2h 5m`, `3d 4h`: two units at most.
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

/// How long ago something was: one unit. Clocks differ: what lies ahead is now.
pub(in crate::cli) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = between(at, now).as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// From one moment to another; nothing if they are the wrong way round.
pub(in crate::cli) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Seconds as the service writes them.
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
