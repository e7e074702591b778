//! What a git source is made of, and how kaniko wants to be told of it.

use super::{
    source::GitSource,
    text::{Invalid, plain, text_type},
    web,
};

text_type!(
    /// The address of a git repository: `https://host/path` or `http://host/path`, without user info, query and
    /// fragment. Which hosts a build may reach is the network policy's matter: kaniko resolves the name in its pod.
    #[schema(example = "https://git.example.com/team/app.git", pattern = "^https?://", max_length = 2048)]
    GitUrl,
    check_url
);
text_type!(
    /// A branch, tag or full ref name, by the rules of `git check-ref-format`, and without `#`.
    #[schema(example = "refs/heads/main", max_length = 255)]
    GitRef,
    check_ref
);
text_type!(
    /// A full commit id: 40 hexadecimal digits in lower case (kaniko does not read repositories with SHA-256 ids).
    #[schema(pattern = "^[0-9a-f]{40}$")]
    CommitId,
    check_commit
);

impl GitUrl {
    /// `https` or `http`, for kaniko's `GIT_PULL_METHOD`.
    pub fn scheme(&self) -> &'static str {
        if self.0.starts_with("http://") {
            "http"
        } else {
            "https"
        }
    }

    /// Host and path, without the scheme.
    pub fn without_scheme(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_, rest)| rest)
    }
}

impl GitSource {
    /// kaniko's `--context`: `git://host/path`, then `#ref`, then `#commit` (kaniko v1.28.3,
    /// `pkg/buildcontext/git.go`). A commit alone stands in the ref's place, where it is fetched by its id.
    pub fn kaniko_context(&self) -> String {
        let mut context = format!("git://{}", self.url.without_scheme());
        let fragments = [
            self.reference.as_ref().map(GitRef::as_str),
            self.commit.as_ref().map(CommitId::as_str),
        ];
        for fragment in fragments.into_iter().flatten() {
            context.push('#');
            context.push_str(fragment);
        }
        context
    }
}

fn check_url(text: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &["https", "http"])?;
    if url.query().is_some() {
        return Err(Invalid::new("must not have a query ('?')"));
    }
    if url.path() == "/" {
        return Err(Invalid::new("must name a repository after the host"));
    }
    Ok(())
}

/// The rules of `git check-ref-format --allow-onelevel`, and none of the characters that mean something to kaniko.
fn check_ref(text: &str) -> Result<(), Invalid> {
    plain(text, 255)?;
    if let Some(c) = text
        .chars()
        .find(|c| " ~^:?*[\\#".contains(*c) || c.is_whitespace())
    {
        return Err(Invalid::new(format_args!("must not contain {c:?}")));
    }
    if text.starts_with('-') {
        return Err(Invalid::new("must not begin with '-'"));
    }
    if text.contains("..") || text.contains("@{") || text == "@" {
        return Err(Invalid::new("must not contain '..' or '@{', nor be '@'"));
    }
    if text.ends_with('.') {
        return Err(Invalid::new("must not end with '.'"));
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if text.split('/').any(bad_part) {
        return Err(Invalid::new(
            "must not have a part that is empty, begins with '.' or ends with '.lock'",
        ));
    }
    Ok(())
}

fn check_commit(text: &str) -> Result<(), Invalid> {
    if text.len() != 40 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Invalid::new(
            "must be a full commit id: 40 hexadecimal digits in lower case",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(url: &str, reference: Option<&str>, commit: Option<&str>) -> GitSource {
        GitSource {
            url: url.parse().expect("a valid address"),
            reference: reference.map(|r| r.parse().expect("a valid ref")),
            commit: commit.map(|c| c.parse().expect("a valid commit")),
            sub_path: None,
        }
    }

    #[test]
    fn tells_kaniko_what_to_fetch() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let url = "http://git.example.com:8080/team/app.git";
        let plain = "git://git.example.com:8080/team/app.git";
        assert_eq!(source(url, None, None).kaniko_context(), plain);
        assert_eq!(
            source(url, Some("main"), None).kaniko_context(),
            format!("{plain}#main")
        );
        assert_eq!(
            source(url, None, Some(sha)).kaniko_context(),
            format!("{plain}#{sha}")
        );
        assert_eq!(
            source(url, Some("refs/heads/main"), Some(sha)).kaniko_context(),
            format!("{plain}#refs/heads/main#{sha}")
        );
        assert_eq!(source(url, None, None).url.scheme(), "http");
        assert_eq!(source("https://h/x", None, None).url.scheme(), "https");
    }

    #[test]
    fn refuses_hostile_addresses() {
        for text in [
            "",
            "x",
            "ext::sh -c id",
            "file:///etc",
            "ssh://git@host/x",
            "git@host:x",
            "git://host/x",
            "-oProxy=x",
            "--upload-pack=x",
            "https://user@host/x",
            "https://user:pw@host/x",
            "https://host/x#main",
            "https://host/x?a=b",
            "https://host/",
            "https://host",
            "https:///x",
            "https://host/a b",
            "https://host/\u{0}",
            "https://host/\n",
            "HTTPS://host/x",
            "https:host/x",
            "https:\\\\host\\x",
            "https://host/x\\y",
            "https://host/a/../b",
            "https://host/a/%2e%2e/b",
            "https://[::1/x",
        ] {
            assert!(text.parse::<GitUrl>().is_err(), "{text:?}");
        }
        for text in [
            "https://[::1]:8443/x.git",
            "http://127.0.0.1:3000/a/b",
            "https://host/~user/x%20y.git",
        ] {
            assert!(text.parse::<GitUrl>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn refuses_hostile_refs() {
        for text in [
            "",
            "-x",
            "--upload-pack=id",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?b",
            "a*",
            "a[b",
            "a\\b",
            "a#b",
            "a@{1}",
            "@",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a\u{7f}",
            "a\0b",
            "a\nb",
            "a\u{a0}b",
        ] {
            assert!(text.parse::<GitRef>().is_err(), "{text:?}");
        }
        for text in ["main", "v1.0", "refs/tags/v1.0", "feature/x-1", "a@b", "é"] {
            assert!(text.parse::<GitRef>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_commit_is_written_out() {
        for text in [
            "",
            "0123456",
            "0123456789ABCDEF0123456789abcdef01234567",
            "g123456789abcdef0123456789abcdef01234567",
        ] {
            assert!(text.parse::<CommitId>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_source_has_just_its_own_fragments(host in "[a-z]{1,8}", path in ".{0,20}", reference in ".{0,20}") {
            let url = format!("https://{host}/{path}");
            if let (Ok(url), Ok(reference)) = (url.parse::<GitUrl>(), reference.parse::<GitRef>()) {
                let source = GitSource { url, reference: Some(reference), commit: None, sub_path: None };
                prop_assert_eq!(source.kaniko_context().matches('#').count(), 1);
            }
        }
    }
}
