//! Snippets and messages from a log that are safe to display.

use super::{line, strip::strip};

const LINES: usize = 20;
const BYTES: usize = 4 * 1024;
/// Number of bytes at the end of a log that are read: far more than a snippet can hold.
const LOOK_AT: usize = 64 * 1024;
const MESSAGE: usize = 1_000;

/// Returns the end of a log: at most 20 lines and 4 KiB, without escape sequences and control characters. If
/// the log ends with kaniko's usage text, the snippet ends before it. `None` if nothing is left.
pub fn snippet(log: &[u8]) -> Option<String> {
    let log = log.get(log.len().saturating_sub(LOOK_AT)..).unwrap_or(log);
    let mut lines: Vec<String> = line::split(log)
        .map(|line| strip(&String::from_utf8_lossy(line)).trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    if let Some(usage) = usage_begins(&lines) {
        lines.truncate(usage);
    }
    let mut text = lines.split_off(lines.len().saturating_sub(LINES)).join("\n");
    if text.len() > BYTES {
        let mut from = text.len() - BYTES;
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text.drain(..from);
    }
    (!text.is_empty()).then_some(text)
}

/// Returns the line at which the usage text begins that kaniko prints after an error from before the build.
fn usage_begins(lines: &[String]) -> Option<usize> {
    let usage = lines.iter().rposition(|line| line == "Usage:")?;
    let executor = lines
        .get(usage + 1)
        .is_some_and(|line| line.trim_start().starts_with("executor"));
    let error = usage.checked_sub(1).and_then(|before| lines.get(before));
    (executor && error.is_some_and(|line| line.starts_with("Error: "))).then_some(usage)
}

/// Turns words from outside into a message for people: one line, at most 1,000 characters, no escape
/// sequences, no credentials in URLs.
pub fn message(words: &str) -> String {
    let plain = strip(words);
    let one_line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    clip(&without_credentials(&one_line), MESSAGE)
}

/// Returns at most `max` characters of the text, with an ellipsis if it was cut.
pub(super) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let mut clipped: String = text.chars().take(max.saturating_sub(1)).collect();
            clipped.push('…');
            clipped
        }
    }
}

/// Removes `user:password@` from every URL.
fn without_credentials(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        plain.push_str(before);
        plain.push_str("://");
        let end = after.find(['/', ' ', '"', '\'', '?', '#']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        plain.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        rest = tail;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::{clip, message, snippet};

    #[test]
    fn a_snippet_is_the_last_20_lines() {
        let log: String = (1..=100)
            .map(|n| format!("\x1b[31mline {n}\x1b[0m\r\n"))
            .collect();
        let text = snippet(log.as_bytes()).expect("there are lines");
        assert_eq!(text.lines().count(), 20);
        assert!(
            text.starts_with("line 81\n") && text.ends_with("line 100"),
            "{text}"
        );
    }

    #[test]
    fn a_snippet_is_at_most_4_kib_and_whole_characters() {
        let text = snippet("☃".repeat(200_000).as_bytes()).expect("there is text");
        assert!(text.len() <= 4096 && text.len() > 4090, "{}", text.len());
        assert!(text.chars().all(|c| c == '☃' || c == '\u{fffd}'));
    }

    #[test]
    fn a_log_of_nothing_has_no_snippet() {
        for log in [&b""[..], b"\n\n\r\n", b"\x1b[0m\n", b"\x00\x01"] {
            assert_eq!(snippet(log), None, "{log:?}");
        }
        assert_eq!(
            snippet(b"\xff\xfebinary").as_deref(),
            Some("\u{fffd}\u{fffd}binary")
        );
    }

    #[test]
    fn the_usage_text_is_left_out() {
        let log =
            b"INFO[0000] hello\nError: error resolving source context: x\nUsage:\n  executor [flags]\n  -v\n";
        assert_eq!(
            snippet(log).as_deref(),
            Some("INFO[0000] hello\nError: error resolving source context: x")
        );
        let user = b"Usage:\n  mytool [flags]\n";
        assert_eq!(snippet(user).as_deref(), Some("Usage:\n  mytool [flags]"));
    }

    #[test]
    fn messages_are_one_short_line_without_credentials() {
        assert_eq!(
            message("Get \"https://tok:x-oauth@github.com/a/b@c\":\n\x1b[31mdenied\x1b[0m"),
            "Get \"https://github.com/a/b@c\": denied"
        );
        assert_eq!(message(&"é".repeat(5_000)).chars().count(), 1_000);
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
    }
}
