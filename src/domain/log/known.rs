//! Secrets whose values are known.

use std::{collections::BTreeSet, fmt, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use url::form_urlencoded;

/// A value that is shorter masks nothing: `1` and `true` are everywhere.
const SHORTEST: usize = 6;
/// Longer values are looked for in pieces, so that little of a log must be held back to find them.
const PIECE: usize = 1024;
/// Where a text was cut, so much of a value is taken for it.
const AT_AN_EDGE: usize = 4;

/// Values that a log must not show, in the forms in which they are usually written. Never shown itself.
#[derive(Clone, Default)]
pub struct Known {
    forms: Vec<Vec<u8>>,
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} forms)", self.forms.len())
    }
}

impl Known {
    /// These values. Each line of a value counts as one, since logs are written line by line.
    pub fn new<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            for line in value.as_ref().lines().map(str::trim) {
                for piece in line.as_bytes().chunks(PIECE) {
                    if piece.len() >= SHORTEST {
                        forms.extend(written(piece));
                    }
                }
            }
        }
        let forms: Vec<Vec<u8>> = forms.into_iter().collect();
        // The other kinds are faster, and take hundreds of bytes for each byte of a value.
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(&forms);
        Self {
            longest: forms.iter().map(Vec::len).max().unwrap_or(0),
            // Fails above four billions of bytes, and without it nothing could be kept: requests are bounded.
            finder: (!forms.is_empty()).then(|| finder.expect("the values are bounded")),
            forms,
        }
    }

    /// The longest form.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Adds where values are written.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let Some(finder) = &self.finder else { return };
        // Hits come in the order of their ends. Those that touch are put together at once: of values that are parts of
        // each other a line may have millions.
        let begun = found.len();
        for hit in finder.find_overlapping_iter(text) {
            let mut hit = hit.range();
            while let Some(last) = found[begun..].last().filter(|last| last.end >= hit.start) {
                hit.start = hit.start.min(last.start);
                found.pop();
            }
            found.push(hit);
        }
    }

    /// How much of the text's beginning is the end of a value, and how much of its end the beginning of one: of a text
    /// that was cut out of a longer one.
    pub(super) fn edges(&self, text: &[u8]) -> (usize, usize) {
        let (mut first, mut last) = (0, 0);
        for form in &self.forms {
            for part in (AT_AN_EDGE..form.len()).rev() {
                if text.starts_with(&form[form.len() - part..]) {
                    first = first.max(part);
                }
                if text.ends_with(&form[..part]) {
                    last = last.max(part);
                }
            }
        }
        (first, last)
    }
}

/// How a value may be written: as it is, in JSON, in a URL, in base64 wherever it begins in the encoded text.
fn written(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    let text = String::from_utf8_lossy(value);
    let json = serde_json::to_string(&text).unwrap_or_default();
    forms.push(json.trim_matches('"').into());
    let form: String = form_urlencoded::byte_serialize(value).collect();
    let url = form.replace('+', "%20");
    forms.push(lower_hex(&url).into());
    forms.push(url.into());
    forms.push(form.into());
    forms.push(STANDARD.encode(value).into());
    forms.push(URL_SAFE.encode(value).into());
    // The first characters hold bits of what comes before, the last one of what comes after.
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let shared = usize::from(bytes.len() % 3 != 0);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&bytes);
            forms.push(encoded.as_bytes()[skipped..encoded.len() - shared].to_vec());
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// The escapes of a URL with small letters.
fn lower_hex(url: &str) -> String {
    let mut parts = url.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escape, rest) = part.split_at(part.len().min(2));
        lower.push('%');
        lower.push_str(&escape.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}
