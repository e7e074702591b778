//! Paths inside a context: relative, and never outside of it.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// Relative path that stays inside its root: no leading `/` or `-`, no `..`, `//`, NUL and backslash. `.`
    /// is the root itself.
    #[schema(example = "services/web/Dockerfile", max_length = 1024)]
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
    // A tool that decodes percent signs must not leave the root either.
    let dots = |part: &str| {
        part.to_ascii_lowercase()
            .replace("%2e", ".")
            .replace("%2f", "/")
            .split('/')
            .any(|p| p == "..")
    };
    if text.split('/').any(dots) {
        return Err(Invalid::new("must not contain '..'"));
    }
    // kaniko fetches a Dockerfile whose path begins with `http://`.
    if text.contains("//") {
        return Err(Invalid::new("must not contain '//'"));
    }
    if text.starts_with('-') {
        return Err(Invalid::new("must not begin with '-'"));
    }
    if text.split('/').any(|part| part.len() > 255) {
        return Err(Invalid::new("must not have a part longer than 255 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stays_inside() {
        for text in [
            "Dockerfile",
            "a/b/Dockerfile",
            "./x",
            "a..b",
            "docker/Dockerfile.prod",
            ".",
            "services/web/",
            "with space/é",
            "http:/x",
        ] {
            assert!(text.parse::<RelativePath>().is_ok(), "{text}");
        }
        for text in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a\\..\\b",
            "a//b",
            "a//",
            "https://evil.example/Dockerfile",
            "http://evil.example/Dockerfile",
            "..%2fx",
            "a/..%2F..%2Fx",
            "%2E%2e",
            ".%2e/x",
            "../",
            "a/\u{7f}",
            "--help",
            "%2e%2e/x",
            "a\0b",
            "-rf",
            "a\nb",
        ] {
            assert!(text.parse::<RelativePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert!("a".repeat(255).parse::<RelativePath>().is_ok());
        assert!("a".repeat(256).parse::<RelativePath>().is_err());
        assert!("ab/".repeat(400).parse::<RelativePath>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_comes_back(text in any::<String>()) {
            if let Ok(path) = text.parse::<RelativePath>() {
                prop_assert_eq!(path.as_str(), text.as_str());
                prop_assert!(!text.contains(char::is_control));
                let root = Path::new("/root/of/context");
                prop_assert!(root.join(&text).starts_with(root));
            }
        }

        #[test]
        fn an_accepted_path_has_no_way_up(text in "[a./%2eEfF\\\\-]{0,16}") {
            if text.parse::<RelativePath>().is_ok() {
                let up = Path::new(&text).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir));
                prop_assert!(!up);
            }
        }
    }
}
