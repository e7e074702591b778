//! Unpacking of valid archives.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tar::{EntryType, Header};

use super::{super::unpack, Hostile, gz};
use crate::domain::archive::{ArchiveError, Limits, sanitize};

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
