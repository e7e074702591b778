//! Hostile archives, and harmless ones that look odd.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::unpack;
use crate::domain::archive::{ArchiveError, Limits, sanitize, validate};

/// Writes entries as no well-behaved program would.
#[derive(Default)]
struct Hostile(Vec<u8>);

impl Hostile {
    fn entry(mut self, kind: EntryType, path: &str, link: &str, content: &[u8]) -> Self {
        for (kind, long) in [(EntryType::GNULongName, path), (EntryType::GNULongLink, link)] {
            if long.len() > 100 {
                self.raw(kind, b"././@LongLink", b"", format!("{long}\0").as_bytes());
            }
        }
        self.raw(kind, path.as_bytes(), link.as_bytes(), content);
        self
    }

    fn raw(&mut self, kind: EntryType, path: &[u8], link: &[u8], content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        let old = header.as_old_mut();
        for (field, text) in [(&mut old.name, path), (&mut old.linkname, link)] {
            let length = text.len().min(100);
            field[..length].copy_from_slice(&text[..length]);
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", content.as_bytes())
    }

    fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    fn hard_link(self, path: &str, original: &str) -> Self {
        self.entry(EntryType::Link, path, original, b"")
    }

    fn tar(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    fn gz(self) -> Vec<u8> {
        gz(&self.tar())
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refused(archive: &[u8]) -> String {
    refused_within(archive, &Limits::default())
}

fn refused_within(archive: &[u8], limits: &Limits) -> String {
    match validate(archive, limits) {
        Err(ArchiveError::Invalid(reason)) => reason,
        other => panic!("not refused as invalid: {other:?}"),
    }
}

#[test]
fn an_honest_archive_is_unpacked_with_its_modes_and_links() {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode) in [("./", 0o755), ("./bin/", 0o555)] {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        builder.append_data(&mut header, path, io::empty()).unwrap();
    }
    let long = format!("deep/{}/file", "n".repeat(150));
    for (path, mode) in [("bin/run", 0o755), (long.as_str(), 0o600)] {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(2);
        builder.append_data(&mut header, path, &b"hi"[..]).unwrap();
    }
    for (kind, path, target) in [
        (EntryType::Symlink, "deep/up", "../bin/run"),
        (EntryType::Link, "copy", "bin/run"),
    ] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
    }
    let root = tempfile::tempdir().unwrap();
    let archive = gz(&builder.into_inner().unwrap());
    let summary = unpack(&archive[..], root.path(), &Limits::default()).unwrap();

    assert_eq!(summary.entries, 6);
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin"), mode("bin/run"), mode(&long)), (0o555, 0o755, 0o600));
    assert_eq!(
        fs::read_link(root.path().join("deep/up")).unwrap(),
        Path::new("../bin/run")
    );
    assert_eq!(fs::read(root.path().join("deep/up")).unwrap(), b"hi");
    assert_eq!(fs::read(root.path().join("copy")).unwrap(), b"hi");
    let modified = fs::metadata(root.path().join("bin/run"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        1_000_000_000
    );
}

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

#[test]
fn each_limit_holds() {
    let three = || {
        Hostile::default()
            .file("a", "x")
            .file("b", "x")
            .file("c", "x")
            .gz()
    };
    let few = Limits {
        entries: 2,
        ..Limits::default()
    };
    assert!(refused_within(&three(), &few).contains("more than 2 entries"));
    let small = Limits {
        expanded_bytes: 2048,
        ..Limits::default()
    };
    assert!(refused_within(&three(), &small).contains("larger than 2048 bytes"));
    let long = Hostile::default().file(&"a/".repeat(600), "x").gz();
    assert!(refused(&long).contains("too long"));
    assert!(refused(&Hostile::default().file(&"n".repeat(256), "x").gz()).contains("too long"));
}

#[test]
fn a_bomb_is_refused_long_before_it_has_gone_off() {
    // 1 GiB of zeros in one file, written by hand: 1 MiB packed.
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(200 << 20), &mut encoder).unwrap();
    let reason = refused(&encoder.finish().unwrap());
    assert!(reason.contains("more than 250 times"), "{reason}");
}

#[test]
fn oversized_extended_headers_are_not_read_into_memory() {
    let mut archive = Hostile::default();
    archive.raw(EntryType::XHeader, b"pax", b"", &vec![b'x'; 300 * 1024]);
    assert!(refused(&archive.file("x", "").gz()).contains("oversized"));
}

#[test]
fn extended_headers_cannot_smuggle() {
    let with = |record: &[u8]| {
        let mut archive = Hostile::default();
        archive.raw(EntryType::XHeader, b"pax", b"", record);
        refused(&archive.file("harmless", "").gz())
    };
    assert!(with(b"20 path=/etc/passwd\n").contains("absolute"));
    assert!(with(b"10 size=1\n").contains("8 GiB"));
    assert!(with(b"13 path=a\0b/c\n").contains("malformed") || with(b"14 path=a\0bcd\n").contains("NUL"));
    assert!(with(b"9999 path=x\n").contains("malformed"));
    assert!(with(b"26 GNU.sparse.major=1.000\n").contains("sparse"));
}

#[test]
fn broken_archives_are_the_archives_fault() {
    let good = Hostile::default().file("a", &"content".repeat(1000)).gz();
    for (what, bytes) in [
        ("cut", &good[..good.len() / 2]),
        ("without its checksum", &good[..good.len() - 4]),
        ("no gzip", &b"hello"[..]),
        ("empty", &b""[..]),
        ("no tar", &gz(&[7; 2048])[..]),
        ("nothing in it", &gz(&[0; 1024])[..]),
        (
            "tar cut",
            &gz(&Hostile::default().file("a", &"content".repeat(1000)).tar()[..1024])[..],
        ),
    ] {
        assert!(!refused(bytes).is_empty(), "{what}");
    }
    let mut flipped = good.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    assert!(refused(&flipped).contains("gzip"));
}

#[test]
fn a_source_that_fails_is_not_the_archives_fault() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let good = Hostile::default().file("a", "x").gz();
    let broken = good[..20].chain(Failing);
    assert!(matches!(
        validate(broken, &Limits::default()),
        Err(ArchiveError::Io(_))
    ));
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("mine"), "x").unwrap();
    let archive = Hostile::default().file("a", "x").gz();
    assert!(matches!(
        unpack(&archive[..], root.path(), &Limits::default()),
        Err(ArchiveError::Io(_))
    ));
}

#[test]
fn what_is_passed_on_lies_below_its_prefix_and_belongs_to_root() {
    let long = format!("d/{}", "n".repeat(150));
    let archive = Hostile::default()
        .file(&long, "x")
        .symlink("d/s", "../d")
        .hard_link("h", &long)
        .gz();
    let mut out = Vec::new();
    sanitize(
        &archive[..],
        &mut out,
        Path::new("kaniko/buildcontext"),
        &Limits::default(),
    )
    .unwrap();
    let mut seen: Vec<(PathBuf, Option<PathBuf>, u64)> = Vec::new();
    for entry in tar::Archive::new(&out[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let link = entry.link_name().unwrap().map(|name| name.into_owned());
        seen.push((
            entry.path().unwrap().into_owned(),
            link,
            entry.header().uid().unwrap(),
        ));
    }
    let base = Path::new("kaniko/buildcontext");
    assert_eq!(
        seen,
        [
            ("kaniko".into(), None, 0),
            (base.into(), None, 0),
            (base.join(&long), None, 0),
            (base.join("d/s"), Some("../d".into()), 0),
            (base.join("h"), Some(base.join(&long)), 0),
        ]
    );
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

/// Every path below `folder` that leads anywhere leads to somewhere in `root`.
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
