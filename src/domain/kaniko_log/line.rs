//! Lines of the log: kaniko's own, in any of its three formats, or other output.

use serde::Deserialize;

use super::strip::strip;

/// Parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Line of kaniko's logger, reduced to the message.
    Logged {
        /// `true` if kaniko ended itself with this line.
        fatal: bool,
        /// The message.
        message: String,
    },
    /// Anything else: the output of `RUN`, git's progress, kaniko's final error.
    Plain(String),
}

const LEVELS: [&str; 7] = ["TRAC", "DEBU", "INFO", "WARN", "ERRO", "FATA", "PANI"];

/// Parses a line without its line end. Bytes that are not UTF-8 are replaced.
pub(super) fn read(line: &[u8]) -> Line {
    let text = strip(&String::from_utf8_lossy(line));
    let text = text.trim_end();
    match colour(text).or_else(|| json(text)).or_else(|| logfmt(text)) {
        Some((level, message)) => Line::Logged {
            fatal: matches!(level, Level::Fatal),
            message: message.trim_end().to_owned(),
        },
        None => Line::Plain(text.to_owned()),
    }
}

enum Level {
    Fatal,
    Other,
}

/// Parses `INFO[0000] message`, after the colours were removed.
fn colour(text: &str) -> Option<(Level, String)> {
    let (level, rest) = text.split_at_checked(4)?;
    if !LEVELS.contains(&level) {
        return None;
    }
    let (time, message) = rest.strip_prefix('[')?.split_once(']')?;
    let looks_like_time =
        !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit() || b"-:+.TZ".contains(&b));
    looks_like_time.then(|| {
        let level = if matches!(level, "FATA" | "PANI") {
            Level::Fatal
        } else {
            Level::Other
        };
        (level, message.trim_start().to_owned())
    })
}

#[derive(Deserialize)]
struct Entry {
    level: String,
    msg: String,
}

/// Parses `{"level":"info","msg":"message","time":"…"}`.
fn json(text: &str) -> Option<(Level, String)> {
    if !text.starts_with('{') {
        return None;
    }
    let entry: Entry = serde_json::from_str(text).ok()?;
    Some((level(&entry.level)?, entry.msg))
}

/// Parses `time="…" level=info msg="message"`.
fn logfmt(text: &str) -> Option<(Level, String)> {
    let rest = text.strip_prefix("time=")?;
    let (_, rest) = rest.split_once(" level=")?;
    let (name, rest) = rest.split_once(" msg=")?;
    Some((level(name)?, unquote(rest)))
}

fn level(name: &str) -> Option<Level> {
    match name {
        "fatal" | "panic" => Some(Level::Fatal),
        "trace" | "debug" | "info" | "warning" | "error" => Some(Level::Other),
        _ => None,
    }
}

/// Removes the quotes of a message. The logger quotes it like a Go string if necessary; fields may follow the
/// quotes.
fn unquote(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push(' '),
                Some(c @ ('"' | '\\')) => plain.push(c),
                // Any other escape stands for something that is not printable.
                _ => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

/// Splits a text into its lines. A lone carriage return ends a line, too, as in progress bars and git's
/// output.
pub(super) fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| matches!(b, b'\n' | b'\r'))
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Line, read};

    fn logged(line: &str) -> Option<String> {
        match read(line.as_bytes()) {
            Line::Logged { message, .. } => Some(message),
            Line::Plain(_) => None,
        }
    }

    #[test]
    fn all_of_kanikos_formats_are_read() {
        for line in [
            "\x1b[36mINFO\x1b[0m[0000] RUN echo \"hi\"                  ",
            "INFO[0012] RUN echo \"hi\"",
            "INFO[2026-11-23T06:33:12Z] RUN echo \"hi\"",
            r#"{"level":"info","msg":"RUN echo \"hi\"","time":"2026-11-23T06:33:12Z"}"#,
            r#"time="2026-11-23T06:33:12Z" level=info msg="RUN echo \"hi\"""#,
        ] {
            assert_eq!(logged(line).as_deref(), Some("RUN echo \"hi\""), "{line}");
        }
        assert_eq!(
            logged("time=\"x\" level=warning msg=short").as_deref(),
            Some("short")
        );
    }

    #[test]
    fn other_lines_are_plain() {
        for line in [
            "about to fail",
            "INFO: all good",
            "INFO[main] not kaniko's",
            "INFORMATION[0000] x",
            "{\"level\":\"loud\",\"msg\":\"x\"}",
            "{not json",
            "time=12 level=loud msg=x",
            "{\"msg\":\"x\"}",
        ] {
            assert_eq!(read(line.as_bytes()), Line::Plain(line.to_owned()), "{line}");
        }
        assert_eq!(
            read(b"\xff\xfe broken"),
            Line::Plain("\u{fffd}\u{fffd} broken".to_owned())
        );
    }

    #[test]
    fn a_fatal_line_is_told_apart() {
        let fatal = |line: &str| matches!(read(line.as_bytes()), Line::Logged { fatal: true, .. });
        assert!(fatal("\x1b[31mFATA\x1b[0m[0000] Invalid platform"));
        assert!(fatal(r#"{"level":"fatal","msg":"Invalid platform","time":"x"}"#));
        assert!(!fatal("ERRO[0000] Unable to get relative path"));
    }
}
