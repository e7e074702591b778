//! Search for secrets in a text, and the masked text.

use std::{ops::Range, sync::Arc};

use super::{Known, shapes};
use crate::domain::BuildSpec;

/// Replacement for a secret.
const MASK: &[u8] = b"***";

/// Suffixes of names whose values are secret.
const SECRET_NAMES: [&str; 9] = [
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "KEY",
    "CREDENTIAL",
    "CREDENTIALS",
];

/// Finder of the secrets of one build.
#[derive(Debug, Clone)]
pub struct Masker {
    /// The operator's secrets, which all builds share.
    shared: Arc<Known>,
    own: Arc<Known>,
}

impl Masker {
    /// Creates a masker for the operator's secrets, the build arguments whose names mark them as secret, and
    /// text that looks like a secret.
    pub fn of_build(shared: Arc<Known>, spec: &BuildSpec) -> Self {
        let secret = spec
            .build_args
            .iter()
            .filter(|(name, _)| names_a_secret(name.as_str()))
            .map(|(_, value)| value.as_str());
        Self::new(shared, Known::new(secret))
    }

    /// Creates a masker for these values and for text that looks like a secret.
    pub fn new(shared: Arc<Known>, own: Known) -> Self {
        Self {
            shared,
            own: Arc::new(own),
        }
    }

    /// Returns the number of bytes that a secret may extend, at least 1024; secrets found by shape may be
    /// longer.
    pub(super) fn reach(&self) -> usize {
        self.shared.longest().max(self.own.longest()).max(1024)
    }

    /// Returns the ranges of a line's secrets, in order and not adjacent. `inside` is true if the line is
    /// inside a private key, and is updated for the next line.
    pub(super) fn find(&self, line: &[u8], inside: &mut bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.shared.find(line, &mut found);
        self.own.find(line, &mut found);
        shapes::find(line, &mut found);
        shapes::find_keys(line, inside, &mut found);
        merged(found)
    }

    /// Masks a text of several lines that was cut out of a longer one.
    pub fn text(&self, text: &str) -> String {
        let mut inside = shapes::ends_a_key(text.as_bytes());
        // A clipped message ends with an ellipsis.
        let end = text.trim_end_matches('…').len();
        let edges = [&self.shared, &self.own].map(|known| known.edges(&text.as_bytes()[..end]));
        let first = edges[0].0.max(edges[1].0);
        let last = end - edges[0].1.max(edges[1].1)..end;
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        for line in text.as_bytes().split_inclusive(|c| *c == b'\n') {
            let mut found = self.find(line, &mut inside);
            for edge in [0..first, last.clone()] {
                let within = |byte: usize| byte.saturating_sub(at).min(line.len());
                found.push(within(edge.start)..within(edge.end));
            }
            write(line, &merged(found), line.len(), &mut masked);
            at += line.len();
        }
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Returns true if a name marks its value as secret: `NPM_TOKEN`, `dbPassword`, `SIGNING_KEY_ID`.
fn names_a_secret(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let word = word.to_ascii_uppercase();
        SECRET_NAMES.iter().any(|end| word.ends_with(end))
    })
}

/// Sorts the ranges, merges those that touch or overlap, and drops empty ones.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.retain(|range| !range.is_empty());
    found.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Writes the first `upto` bytes of a line, with a mask for each secret that begins in them.
pub(super) fn write(line: &[u8], secrets: &[Range<usize>], upto: usize, kept: &mut Vec<u8>) {
    let mut at = 0;
    for secret in secrets.iter().take_while(|secret| secret.start < upto) {
        kept.extend_from_slice(&line[at..secret.start]);
        kept.extend_from_slice(MASK);
        at = secret.end;
    }
    kept.extend_from_slice(line.get(at..upto).unwrap_or_default());
}
