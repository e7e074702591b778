//! Archives that try to reach outside of their root.

use std::{fs, path::Path};

use proptest::prelude::*;
use tar::EntryType;

use super::{super::unpack, Hostile, refused};
use crate::domain::archive::{ArchiveError, Limits, validate};

#[test]
fn paths_that_leave_the_root_are_refused() {
    for path in ["/etc/passwd", "../x", "a/../../x", "a/..", "a/../b"] {
        assert!(
            refused(&Hostile::default().file(path, "x").gz()).contains("path"),
            "{path}"
        );
    }
    let reason = refused(&Hostile::default().file("../\u{1b}[31mx", "x").gz());
    assert!(reason.ends_with(r"'../\u{1b}[31mx'"), "{reason}");
}

#[test]
fn symbolic_links_that_could_leave_the_root_are_refused() {
    for (path, target) in [
        ("link", "/etc"),
        ("link", ".."),
        ("a/link", "../.."),
        ("a/b/link", "../../../x"),
        // Lexically inside, but `a` may be a link.
        ("link", "a/b/../.."),
        ("a/link", "./.././.."),
        ("link", ""),
    ] {
        let reason = refused(&Hostile::default().symlink(path, target).gz());
        assert!(reason.contains("symbolic link"), "{path} -> {target}: {reason}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = Hostile::default()
        .folder("d")
        .symlink("link", "d")
        .file("link/x", "x");
    assert!(refused(&through.gz()).contains("below a symbolic link"));
    let below_file = Hostile::default().file("f", "").file("f/x", "x");
    assert!(refused(&below_file.gz()).contains("below a file"));
    let swapped = Hostile::default()
        .file("d/x", "")
        .symlink("d", "e")
        .file("d/y", "x");
    assert!(refused(&swapped.gz()).contains("replaces a folder"));
    let back = Hostile::default().symlink("d", "e").folder("d");
    assert!(refused(&back.gz()).contains("replaces a file"));
}

#[test]
fn a_file_takes_the_place_of_a_link_and_not_of_its_target() {
    let archive = Hostile::default()
        .file("t", "old")
        .symlink("l", "t")
        .file("l", "new")
        .gz();
    let root = tempfile::tempdir().unwrap();
    unpack(&archive[..], root.path(), &Limits::default()).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("t")).unwrap(), "old");
    assert_eq!(fs::read_to_string(root.path().join("l")).unwrap(), "new");
}

#[test]
fn hard_links_name_earlier_files_of_the_archive_only() {
    for original in ["/etc/passwd", "../x", "later", "d", "s", "self"] {
        let archive = Hostile::default()
            .folder("d")
            .symlink("s", "d")
            .hard_link("self", original);
        assert!(!refused(&archive.file("later", "").gz()).is_empty(), "{original}");
    }
}

#[test]
fn devices_pipes_and_sparse_files_are_refused() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::new(b'Z'),
    ] {
        assert!(
            refused(&Hostile::default().entry(kind, "x", "", b"").gz()).contains("contains a"),
            "{kind:?}"
        );
    }
}

/// Names and targets made of the pieces that attacks are made of.
fn piece() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "..", ".", "", "outside", "a/b", "/"]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 1..5).prop_map(|parts| parts.join("/"))
}

fn kind() -> impl Strategy<Value = EntryType> {
    prop::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_archive_reaches_outside_its_root(entries in prop::collection::vec((kind(), path(), path()), 1..12)) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(around.path().join("outside"), "untouched").unwrap();
        let archive = entries.iter().fold(Hostile::default(), |archive, (kind, path, link)| {
            archive.entry(*kind, path, link, if *kind == EntryType::Regular { b"written" } else { b"" })
        });
        let archive = archive.gz();
        let unpacked = unpack(&archive[..], &root, &Limits::default());

        prop_assert!(!matches!(unpacked, Err(ArchiveError::Io(_))), "{unpacked:?}");
        prop_assert_eq!(fs::read_to_string(around.path().join("outside")).unwrap(), "untouched");
        prop_assert_eq!(fs::read_dir(around.path()).unwrap().count(), 2);
        assert_inside(&root, &root.canonicalize().unwrap());
        prop_assert_eq!(unpacked.is_ok(), validate(&archive[..], &Limits::default()).is_ok());
    }
}

/// Asserts that every path below `folder` that can be resolved leads into `root`.
fn assert_inside(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if let Ok(real) = entry.path().canonicalize() {
            assert!(real.starts_with(root), "{:?} leads to {real:?}", entry.path());
        }
        if entry.file_type().unwrap().is_dir() {
            assert_inside(&entry.path(), root);
        }
    }
}
