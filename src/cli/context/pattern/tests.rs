use super::*;
use crate::cli::context::rules::{Covered, Rules};

/// Whether a path is left out, the folders above it asked first, as on a walk.
fn left_out(rules: &Rules, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(end, _)| end);
    let mut above = Covered::default();
    for end in ends {
        above = rules.leave_out(&path[..end], &above).1;
    }
    rules.leave_out(path, &above).0
}

fn rules(patterns: &[&str]) -> Rules {
    Rules::parse(&patterns.join("\n")).unwrap_or_else(|bad| panic!("{patterns:?}: {bad:?}"))
}

/// Cases of moby's own tests (patternmatcher_test.go), those without a slash at the end: no path of ours has one.
const SINGLE: [(&str, &str, bool); 70] = [
    ("**", "file", true),
    ("**/", "file", true),
    ("**", "dir/file", true),
    ("**/", "dir/file", true),
    ("**/**", "dir/file", true),
    ("dir/**", "dir/file", true),
    ("dir/**", "dir/dir2/file", true),
    ("**/dir", "dir", true),
    ("**/dir", "dir/file", true),
    ("**/dir2/*", "dir/dir2/file", true),
    ("**/dir2/**", "dir/dir2/dir3/file", true),
    ("**file", "file", true),
    ("**file", "dir/file", true),
    ("**/file", "dir/file", true),
    ("**file", "dir/dir/file", true),
    ("**/file", "dir/dir/file", true),
    ("**/file*", "dir/dir/file", true),
    ("**/file*", "dir/dir/file.txt", true),
    ("**/file*txt", "dir/dir/file.txt", true),
    ("**/file*.txt", "dir/dir/file.txt", true),
    ("**/file*.txt*", "dir/dir/file.txt", true),
    ("**/**/*.txt", "dir/dir/file.txt", true),
    ("**/**/*.txt2", "dir/dir/file.txt", false),
    ("**/*.txt", "file.txt", true),
    ("**/**/*.txt", "file.txt", true),
    ("a**/*.txt", "a/file.txt", true),
    ("a**/*.txt", "a/dir/file.txt", true),
    ("a**/*.txt", "a/dir/dir/file.txt", true),
    ("a/*.txt", "a/dir/file.txt", false),
    ("a/*.txt", "a/file.txt", true),
    ("a/*.txt**", "a/file.txt", true),
    ("a[b-d]e", "ae", false),
    ("a[b-d]e", "ace", true),
    ("a[b-d]e", "aae", false),
    ("a[^b-d]e", "aze", true),
    (".*", ".foo", true),
    (".*", "foo", false),
    ("abc.def", "abcdef", false),
    ("abc.def", "abc.def", true),
    ("abc.def", "abcZdef", false),
    ("abc?def", "abcZdef", true),
    ("abc?def", "abcdef", false),
    ("a\\\\", "a\\", true),
    ("**/foo/bar", "foo/bar", true),
    ("**/foo/bar", "dir/foo/bar", true),
    ("**/foo/bar", "dir/dir2/foo/bar", true),
    ("abc/**", "abc", false),
    ("abc/**", "abc/def", true),
    ("abc/**", "abc/def/ghi", true),
    ("**/.foo", ".foo", true),
    ("**/.foo", "bar.foo", false),
    ("a(b)c/def", "a(b)c/def", true),
    ("a(b)c/def", "a(b)c/xyz", false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
    ("dist/p-2.4.0rc3+g08-any.whl", "dist/p-2.4.0rc3+g08-any.whl", true),
    ("dist/*.whl", "dist/p-2.4.0rc3+g08-any.whl", true),
    ("a\\*b", "a*b", true),
    ("a\\*b", "ab", false),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
    ("a*b?c*x", "abxbbxdbxebxczzx", true),
    ("a*b?c*x", "abxbbxdbxebxczzy", false),
    ("a?b", "a☺b", true),
    ("a???b", "a☺b", false),
    ("[a-ζ]*", "α", true),
    ("*[a-ζ]", "A", false),
    ("a?b", "a/b", false),
    ("[\\]a]", "]", true),
    ("[x\\-]", "-", true),
    ("[\\-x]", "a", false),
];

#[test]
fn patterns_cover_what_they_cover_in_docker() {
    for (pattern, path, out) in SINGLE {
        assert_eq!(left_out(&rules(&[pattern]), path), out, "{pattern} {path}");
    }
}

#[test]
fn the_last_pattern_that_covers_a_path_decides() {
    for (patterns, path, out) in [
        (&["!fileutils.go", "*.go"][..], "fileutils.go", true),
        (&["*.go", "!fileutils.go"], "fileutils.go", false),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs/", "!docs/README.md"], "docs/README.md", false),
        (&["docs/*", "!docs/README.md"], "docs/README.md", false),
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (
            &["**", "!util/docker/web", "util/docker/web/foo"],
            "util/docker/web/foo",
            true,
        ),
        (&["**", "!dist/*.whl"], "dist/p-2.4.0rc3+g08-any.whl", false),
        (&["docs", "!docs/README.md"], "docs/other", true),
    ] {
        assert_eq!(left_out(&rules(patterns), path), out, "{patterns:?} {path}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for bad in [
        "[]a]",
        "[-]",
        "[x-]",
        "[-x]",
        "\\",
        "[a-b-c]",
        "[",
        "[^",
        "[^bc",
        "a[",
        "[Local-Only]",
        "!",
        "! ",
    ] {
        assert!(Rules::parse(bad).is_err(), "{bad}");
    }
}

/// What Docker's own matcher made of patterns and paths drawn at random (tests/fixtures/dockerignore/README.md).
#[test]
fn verdicts_are_those_of_dockers_own_matcher() {
    let recorded = include_str!("../../../../tests/fixtures/dockerignore/verdicts.jsonl");
    let mut seen = 0;
    for line in recorded.lines() {
        let (text, path, verdict): (String, String, String) =
            serde_json::from_str(line).expect("three texts a line");
        let ours = match Rules::parse(&text) {
            Err(_) => "bad",
            Ok(rules) if left_out(&rules, &path) => "out",
            Ok(_) => "in",
        };
        assert_eq!(ours, verdict, "{text:?} {path}");
        seen += 1;
    }
    assert!(seen > 1_000);
}

#[test]
fn a_folder_is_gone_through_where_an_exception_may_reach_into_it() {
    for (pattern, folder, reaches) in [
        ("a/b", "a", true),
        ("a/b", "a/b", false),
        ("a/b", "ab", false),
        ("a/b/c", "a/b", true),
        ("*.md", "a", true),
        ("a/*.md", "a", true),
        ("a/*.md", "b", false),
        ("**/x", "a/b/c", true),
        ("a/b*/c", "a/bc/d", true),
        ("a/b*/c", "a/cb", false),
    ] {
        let pattern = Pattern::new(pattern, true).expect(pattern);
        assert_eq!(
            pattern.may_reach_below(folder),
            reaches,
            "{} {folder}",
            pattern.text
        );
    }
}
