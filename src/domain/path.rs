//! Paths inside a context: relative, and never leaving it.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// A relative path that stays inside its root: no leading `/`, no `..`, no NUL, no backslash.
    RelativePath,
    check_relative
);

fn check_relative(text: &str) -> Result<(), Invalid> {
    plain(text, 1024)?;
    if text.starts_with('/') {
        return Err(Invalid::new("must be relative to the context, not absolute"));
    }
    if text.contains('\\') {
        return Err(Invalid::new("must use '/' and no backslash"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Invalid::new("must not contain '..'"));
    }
    if text.starts_with('-') {
        return Err(Invalid::new("must not begin with '-'"));
    }
    Ok(())
}
