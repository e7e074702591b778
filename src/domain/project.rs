//! Projects: who owns builds.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// A project's name: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit, so that it
    /// is a Kubernetes label value too.
    #[schema(example = "default", pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 63)]
    ProjectName,
    check_project
);

impl Default for ProjectName {
    /// The project of requests that name none: `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

fn check_project(text: &str) -> Result<(), Invalid> {
    plain(text, 63)?;
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.chars().all(inside) || text.starts_with('-') || text.ends_with('-') {
        return Err(Invalid::new(
            "must be made of a-z, 0-9 and '-', and begin and end with a letter or digit",
        ));
    }
    Ok(())
}
