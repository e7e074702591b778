//! Reads and applies a whole `.dockerignore`.
//!
//! It is read as <https://github.com/moby/patternmatcher> (`ignorefile`) reads it, and applied as BuildKit
//! does: the last pattern that covers a path, or a folder above it, decides.

use super::pattern::Pattern;

/// Patterns of the paths that are left out.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Pattern>);

/// For each pattern, true if it covers a path or a folder above it; input for the paths below.
#[derive(Debug, Clone, Default)]
pub(super) struct Covered(Vec<bool>);

impl Rules {
    /// Parses a file. The error is the number of the invalid line, counted from 1, and its text.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let path = match line.strip_prefix('!') {
                Some(rest) => format!("!{}", from_root(rest.trim())),
                None => from_root(line),
            };
            // Clean the whole again: the result differs if `!` follows a slash or precedes `..`.
            let path = clean(&path);
            let (exception, path) = match path.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, path.as_str()),
            };
            let bad = |_| (number + 1, line.to_owned());
            patterns.push(Pattern::new(path, exception).map_err(bad)?);
        }
        Ok(Self(patterns))
    }

    /// Returns true if a path is left out; `above` is the result for its folder (empty at the root).
    pub(super) fn leave_out(&self, path: &str, above: &Covered) -> (bool, Covered) {
        let mut out = false;
        let mut covered = Vec::with_capacity(self.0.len());
        for (i, pattern) in self.0.iter().enumerate() {
            // A pattern that would change nothing need not be matched.
            let covers = above.0.get(i).copied().unwrap_or(false)
                || (pattern.is_exception() == out && pattern.covers(path));
            if covers {
                out = !pattern.is_exception();
            }
            covered.push(covers);
        }
        (out, Covered(covered))
    }

    /// Returns true if a path below a folder that is left out may be sent after all.
    pub(super) fn may_take_in_below(&self, folder: &str) -> bool {
        self.0
            .iter()
            .any(|pattern| pattern.is_exception() && pattern.may_reach_below(folder))
    }
}

/// Returns a path from the context's root, without a leading slash.
fn from_root(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let path = clean(path);
    match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => path,
    }
}

/// Returns the shortest form of a path, as Go's `filepath.Clean` does.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (parts.is_empty(), rooted) {
        (true, true) => "/".to_owned(),
        (true, false) => ".".to_owned(),
        (false, true) => format!("/{}", parts.join("/")),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests;
