//! Matches one pattern of a `.dockerignore` by the rules of Docker's own matcher.
//!
//! The rules are those of <https://github.com/moby/patternmatcher> (v0.6), including the quirks of `**`: Go's
//! `filepath.Match`, and `**` for any number of folders. Where moby's translation into a regular expression
//! passes on that expression's own syntax (`\d`, or `*` within brackets), this module follows
//! `filepath.Match`, whose rules moby documents as its own.

use regex::Regex;

/// A pattern; an exception includes again the paths that it covers.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    exception: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The path equals the text.
    Exact,
    /// The path begins with this.
    Prefix(String),
    /// The path ends with this, or equals it without its first slash.
    Suffix(String),
    Regex(Regex),
}

/// A pattern with invalid syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

impl Pattern {
    /// Reads a pattern that is trimmed, and is a clean path (see [`super::rules`]).
    pub(super) fn new(text: &str, exception: bool) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern);
        }
        check(text)?;
        Ok(Self {
            kind: compile(text)?,
            text: text.to_owned(),
            exception,
        })
    }

    /// Returns the pattern without its exclamation mark.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns true if paths that the pattern covers are sent after all.
    pub(super) fn is_exception(&self) -> bool {
        self.exception
    }

    /// Returns true if the pattern covers this path itself; paths below it are not considered.
    pub(super) fn covers(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact => path == self.text,
            Kind::Prefix(start) => path.starts_with(start.as_str()),
            Kind::Suffix(end) => path.ends_with(end.as_str()) || end.strip_prefix('/') == Some(path),
            Kind::Regex(regex) => regex.is_match(path),
        }
    }

    /// Returns true if the pattern may cover a path below the folder.
    pub(super) fn may_reach_below(&self, folder: &str) -> bool {
        let literal = self.text.split(['*', '?', '[', '\\']).next().unwrap_or_default();
        let below = format!("{folder}/");
        literal.starts_with(&below) || (literal.len() < self.text.len() && below.starts_with(literal))
    }
}

/// Checks the syntax as `filepath.Match` does.
fn check(pattern: &str) -> Result<(), BadPattern> {
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => rest.next().map(drop).ok_or(BadPattern)?,
            '[' => class(&mut rest).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Translates the class between brackets for the regular expression; `rest` begins after the bracket.
fn class(rest: &mut Rest<'_>) -> Result<String, BadPattern> {
    let mut class = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let mut members = 0;
    loop {
        if members > 0 && rest.next_if_eq(&']').is_some() {
            class.push(']');
            return Ok(class);
        }
        class.push_str(&member(rest)?);
        if rest.next_if_eq(&'-').is_some() {
            class.push('-');
            class.push_str(&member(rest)?);
        }
        members += 1;
    }
}

fn member(rest: &mut Rest<'_>) -> Result<String, BadPattern> {
    let c = match rest.next() {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern)?,
        Some(c) => c,
    };
    // A closing bracket must follow.
    rest.peek().ok_or(BadPattern)?;
    Ok(quoted(c))
}

fn quoted(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

fn compile(pattern: &str) -> Result<Kind, BadPattern> {
    let mut regex = String::from("^");
    let mut plain = true;
    let mut kind = None;
    let mut rest = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` means the same as `**`.
                rest.next_if_eq(&'/');
                let last = rest.peek().is_none();
                regex.push_str(if last { ".*" } else { "(.*/)?" });
                kind = match (first, last && plain) {
                    (true, _) => Some(Kind::Suffix(pattern[2..].to_owned())),
                    (false, true) => Some(Kind::Prefix(pattern[..pattern.len() - 2].to_owned())),
                    (false, false) => None,
                };
                plain = false;
            }
            special => {
                let (piece, special) = translate(special, &mut rest)?;
                regex.push_str(&piece);
                if special {
                    plain = false;
                    kind = None;
                }
            }
        }
        first = false;
    }
    match kind {
        Some(kind) => Ok(kind),
        None if plain => Ok(Kind::Exact),
        None => Regex::new(&format!("{regex}$"))
            .map(Kind::Regex)
            .map_err(|_| BadPattern),
    }
}

/// Translates one character of a pattern for the regular expression; true if the character is special.
fn translate(c: char, rest: &mut Rest<'_>) -> Result<(String, bool), BadPattern> {
    Ok(match c {
        '*' => ("[^/]*".to_owned(), true),
        '?' => ("[^/]".to_owned(), true),
        '[' => (class(rest)?, true),
        '\\' => (quoted(rest.next().ok_or(BadPattern)?), true),
        c => (quoted(c), false),
    })
}

#[cfg(test)]
mod tests;
