//! Destinations that a project may push images to.

use super::{
    image::{check_path, check_registry},
    text::{Invalid, plain, text_type},
};

text_type!(
    /// Host of a registry, or a host and the beginning of a repository's path: `registry.example.com/team`
    /// covers `registry.example.com/team` and `registry.example.com/team/app`, but not
    /// `registry.example.com/team-b`.
    #[schema(example = "registry.example.com/team", max_length = 255)]
    RepositoryPrefix,
    check_prefix
);

impl RepositoryPrefix {
    /// Returns true if a repository (`host/path`) is this one or lies below it. The host is compared as a
    /// whole, the path segment by segment.
    pub fn covers(&self, repository: &str) -> bool {
        let rest = repository.strip_prefix(self.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns the full reference of an image whose text names no registry, such as `app:1`; `None` if it
    /// names one.
    pub fn complete(&self, text: &str) -> Option<String> {
        let first = text.split_once('/').map(|(first, _)| first);
        // Docker's rule to distinguish a registry from a path.
        let named = first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost");
        (!named).then(|| format!("{self}/{text}"))
    }
}

fn check_prefix(text: &str) -> Result<(), Invalid> {
    plain(text, 255)?;
    match text.split_once('/') {
        None => check_registry(text),
        Some((host, path)) => {
            check_registry(host)?;
            check_path(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> RepositoryPrefix {
        text.parse().expect(text)
    }

    #[test]
    fn hosts_are_compared_whole_and_paths_by_segments() {
        let team = prefix("registry.example.com/team");
        for inside in [
            "registry.example.com/team",
            "registry.example.com/team/app",
            "registry.example.com/team/a/b",
        ] {
            assert!(team.covers(inside), "{inside}");
        }
        for outside in [
            "registry.example.com/team-b/app",
            "registry.example.com/teams",
            "registry.example.com/other/team",
            "registry.example.com:5000/team/app",
            "registry.example.com.evil.org/team/app",
            "evil.org/registry.example.com/team",
            "registry.example.com",
        ] {
            assert!(!team.covers(outside), "{outside}");
        }
        assert!(prefix("registry.example.com").covers("registry.example.com/any/thing"));
        assert!(!prefix("registry.example.com").covers("registry.example.com.evil.org/any"));
        assert!(!prefix("registry.example.com").covers("registry.example.com:443/any"));
    }

    #[test]
    fn what_names_no_registry_is_completed() {
        let team = prefix("registry.example.com:5000/team");
        for (text, whole) in [
            ("app", Some("registry.example.com:5000/team/app")),
            ("app:1", Some("registry.example.com:5000/team/app:1")),
            ("web/app:1", Some("registry.example.com:5000/team/web/app:1")),
            ("docker.io/app:1", None),
            ("host:5000/app", None),
            ("localhost/app", None),
        ] {
            assert_eq!(team.complete(text).as_deref(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_beginning_of_a_repository_is_refused() {
        for text in [
            "registry.example.com",
            "host:5000",
            "localhost/a",
            "[::1]:5000/a/b",
        ] {
            assert!(text.parse::<RepositoryPrefix>().is_ok(), "{text}");
        }
        for text in [
            "",
            "team",
            "team/app",
            "registry.example.com/",
            "registry.example.com//a",
            "registry.example.com/a/",
            "registry.example.com/A",
            "registry.example.com/a:1",
            "u@registry.example.com/a",
            "https://a.b/c",
            "a.b/../c",
            "a.b/*",
        ] {
            assert!(text.parse::<RepositoryPrefix>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_covered_leaves_the_host(path in "[a-z]{1,5}(/[a-z]{1,5}){0,2}", host in "[a-z.:/@-]{0,12}") {
            let team = prefix("r.example/team");
            let inside = format!("r.example/team/{path}");
            let elsewhere = format!("r.example{host}/team/{path}");
            prop_assert!(team.covers(&inside));
            let covered = team.covers(&elsewhere);
            prop_assert!(!covered || elsewhere.starts_with("r.example/team/"));
        }
    }
}
