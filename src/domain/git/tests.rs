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
        format!("{plain}##{sha}")
    );
    assert_eq!(
        source(url, Some(sha), None).kaniko_context(),
        format!("{plain}##{sha}")
    );
    let other = "f".repeat(40);
    assert_eq!(
        source(url, Some(&other), Some(sha)).kaniko_context(),
        format!("{plain}##{sha}")
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
        "https://host/a://b",
        "https://host//a",
        "https://host/%23main",
        "https://2130706433/x",
        "https://[::ffff:169.254.169.254]/x",
        "http://169.254.169.254/latest",
        "https://registry.example.com@evil/x",
        "https://host:0/x",
        " https://host/x",
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
        "HEAD",
        "0123456789abcdef0123456789abcdef0123456",
        "0123456789abcdef0123456789abcdef012345678",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789abcdef01234567",
        "g123456789abcdef0123456789abcdef01234567",
    ] {
        assert!(text.parse::<CommitId>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered_and_comes_back(text in any::<String>()) {
        if let Ok(url) = text.parse::<GitUrl>() {
            prop_assert_eq!(url.to_string(), text.clone());
        }
        if let Ok(reference) = text.parse::<GitRef>() {
            prop_assert_eq!(reference.to_string(), text.clone());
        }
        let _ = text.parse::<CommitId>();
    }

    #[test]
    fn an_accepted_ref_obeys_git(text in "[a-c./@{}~^:?*#\\\\\\[ -]{1,12}") {
        if text.parse::<GitRef>().is_ok() {
            for part in ["..", "@{", "//", "/.", ".lock/", " ", "~", "^", ":", "?", "*", "[", "\\", "#"] {
                prop_assert!(!text.contains(part), "{text}");
            }
            prop_assert!(!text.starts_with(['-', '/', '.']) && !text.ends_with(['/', '.']), "{text}");
        }
    }

    #[test]
    fn an_accepted_source_has_just_its_own_fragments(host in "[a-z]{1,8}", path in ".{0,20}", reference in ".{0,20}") {
        let url = format!("https://{host}/{path}");
        if let (Ok(url), Ok(reference)) = (url.parse::<GitUrl>(), reference.parse::<GitRef>()) {
            let source = GitSource { url, reference: Some(reference), commit: None, sub_path: None };
            prop_assert_eq!(source.kaniko_context().matches('#').count(), 1);
        }
    }
}
