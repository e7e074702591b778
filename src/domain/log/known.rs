//! Secrets with known values.

use std::{collections::BTreeSet, fmt, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use url::form_urlencoded;

/// Lower bound in bytes of a masked value: shorter ones such as `1` and `true` are everywhere.
const SHORTEST: usize = 6;
/// Length in bytes of the pieces in which longer values are searched for, so that little of a log must be
/// held back to find them.
const PIECE: usize = 1024;
/// Lower bound in bytes of a part of a value that is masked at the edge of a cut text.
const AT_AN_EDGE: usize = 4;

/// Values that a log must not show, in the forms in which they are usually written. `Debug` does not show
/// them.
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
    /// Creates a finder for these values. Each line of a value counts as a value, since logs are written line
    /// by line.
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
        // The other kinds are faster, but use hundreds of bytes for each byte of a value.
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(&forms);
        Self {
            longest: forms.iter().map(Vec::len).max().unwrap_or(0),
            // Building the finder fails above four billion bytes only, and requests are bounded. Without it,
            // no log could be stored.
            finder: (!forms.is_empty()).then(|| finder.expect("the values are bounded")),
            forms,
        }
    }

    /// Returns the length of the longest form in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Appends the ranges of the text that contain values to `found`.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let Some(finder) = &self.finder else { return };
        // Hits come in the order of their ends. Adjacent ones are merged at once: if values are parts of each
        // other, a line may have millions of hits.
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

    /// Returns how many bytes at the beginning of a text are the end of a value, and how many at its end are
    /// the beginning of one. The text was cut out of a longer one.
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

/// Returns the forms of a value: as it is, in JSON, in a URL, and in base64 at each offset of the encoded
/// text.
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
    // The first characters contain bits of the preceding bytes, the last one bits of the following bytes.
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

/// Converts the escapes of a URL to lower case.
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
