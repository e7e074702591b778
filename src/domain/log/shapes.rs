//! Secrets that are recognized by their shape.

use std::{ops::Range, sync::LazyLock};

use regex::bytes::{Regex, RegexSet};

/// Patterns of secrets; if a pattern has a group, the group is the secret.
const SHAPES: [&str; 12] = [
    // The password in a URL.
    r"(?-u)[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:([^\s/]+)@",
    // Credentials in a header, with any quotes.
    r#"(?i-u)authorization["']?\s*[:=]\s*["']?(?:bearer|basic|token|negotiate)\s+([^\s"',;]+)"#,
    r"(?i-u)\bbearer\s+([A-Za-z0-9+/=._~-]{16,})",
    // GitHub, GitLab, AWS, Slack, npm, Docker Hub, PyPI, Google.
    r"(?-u)\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    r"(?-u)\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt)-[A-Za-z0-9_.-]{15,}",
    r"(?-u)\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r#"(?i-u)aws_?secret_?access_?key["']?\s*[:=]\s*["']?([A-Za-z0-9/+=]{30,})"#,
    r"(?-u)\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"(?-u)\b(?:npm_[A-Za-z0-9]{30,}|dckr_[po]at_[A-Za-z0-9_-]{20,}|pypi-[A-Za-z0-9_-]{50,})",
    r"(?-u)\bAIza[A-Za-z0-9_-]{35}",
    // A JSON Web Token.
    r"(?-u)\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
    // The service's own tokens: for fetching a build's context, and for the API.
    r"(?-u)\b(?:slipctx_[0-9a-f]{64}|slw_[0-9A-Za-z]{49})\b",
];

static ANY: LazyLock<RegexSet> = LazyLock::new(|| RegexSet::new(SHAPES).expect("the patterns are valid"));
static EACH: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compiled = SHAPES.iter().map(|shape| Regex::new(shape));
    compiled
        .collect::<Result<_, _>>()
        .expect("the patterns are valid")
});

static KEY_BEGINS: LazyLock<Regex> = LazyLock::new(|| marker("BEGIN"));
static KEY_ENDS: LazyLock<Regex> = LazyLock::new(|| marker("END"));

fn marker(word: &str) -> Regex {
    Regex::new(&format!(
        "(?-u)-----{word} [A-Z ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----"
    ))
    .expect("the pattern is valid")
}

/// Appends the ranges of a line that look like a secret to `found`.
pub(super) fn find(line: &[u8], found: &mut Vec<Range<usize>>) {
    for shape in &ANY.matches(line) {
        for captures in EACH[shape].captures_iter(line) {
            let secret = captures.iter().flatten().last();
            found.extend(secret.map(|secret| secret.range()));
        }
    }
}

/// Appends the ranges of a line that are parts of a private key to `found`. `inside` is true if a key has
/// begun before the line, and is updated for the next line.
pub(super) fn find_keys(line: &[u8], inside: &mut bool, found: &mut Vec<Range<usize>>) {
    let end = line.trim_ascii_end().len();
    let mut from = 0;
    loop {
        if !*inside {
            let Some(begins) = KEY_BEGINS.find_at(line, from) else {
                return;
            };
            *inside = true;
            from = begins.end();
        }
        if let Some(ends) = KEY_ENDS.find_at(line, from) {
            found.push(from..ends.start());
            *inside = false;
            from = ends.end();
        } else if from > 0 || is_of_a_key(&line[..end]) {
            found.push(from..end.max(from));
            return;
        } else {
            // The marker did not begin a key, or the key's end was not printed.
            *inside = false;
        }
    }
}

/// Returns true if a key ends in this text that began before it.
pub(super) fn ends_a_key(text: &[u8]) -> bool {
    let ends = KEY_ENDS.find(text).map(|end| end.start());
    let begins = KEY_BEGINS.find(text).map(|begin| begin.start());
    ends.is_some_and(|end| begins.is_none_or(|begin| end < begin))
}

/// Returns true if the line may be between the first and the last line of a key: base64, possibly after a
/// prefix, a header, or an empty line.
fn is_of_a_key(line: &[u8]) -> bool {
    let is_base64 = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
    let longest = line.split(|c| !is_base64(c)).map(<[u8]>::len).max().unwrap_or(0);
    longest == line.trim_ascii().len()
        || longest >= 40
        || [&b"Proc-Type:"[..], b"DEK-Info:", b"Comment:", b"Version:"]
            .iter()
            .any(|header| line.starts_with(header))
}
