//! Projects, which own builds.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// Name of a project: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit, so
    /// that it is a valid Kubernetes label value.
    #[schema(example = "default", pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 63)]
    ProjectName,
    check_project
);

impl Default for ProjectName {
    /// Returns the project of requests that name none: `default`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_label_values() {
        for text in ["a", "default", "team-1", "0", "a--b", &"a".repeat(63)] {
            assert!(text.parse::<ProjectName>().is_ok(), "{text}");
        }
        let long = "a".repeat(64);
        for text in [
            "", "-a", "a-", "A", "a_b", "a.b", "a/b", "../x", "a b", "a\0", "a\n", "é", "%61", "a'--", &long,
        ] {
            assert!(text.parse::<ProjectName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_default_is_a_valid_name() {
        let default = ProjectName::default();
        assert_eq!(default.as_str().parse::<ProjectName>(), Ok(default));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>(), near in "[a-z0-9-]{1,64}") {
            let _ = text.parse::<ProjectName>();
            let good = near.len() <= 63 && !near.starts_with('-') && !near.ends_with('-');
            prop_assert_eq!(near.parse::<ProjectName>().is_ok(), good);
        }
    }
}
