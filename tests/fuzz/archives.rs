//! Uploaded contexts: whatever is admitted stays below its root and within the limits.

use std::{
    io::{self, Read, Write},
    path::{Component, Path},
};

use flate2::{Compression, write::GzEncoder};
use proptest::{collection::vec, prelude::*};
use slipway::domain::archive::{Limits, Meta, Sink, link_stays_inside, read};
use tar::{EntryType, Header};

use crate::{fuzz::fuzz, fuzz::mutation::mutated};

const LIMITS: Limits = Limits {
    expanded_bytes: 64 << 10,
    entries: 8,
    ratio: 250,
    path_bytes: 200,
};

/// Notes what would have been written.
#[derive(Default)]
struct Notes {
    entries: usize,
    bytes: u64,
    strayed: Vec<String>,
}

impl Notes {
    fn note(&mut self, path: &Path) {
        self.entries += 1;
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            self.strayed.push(path.display().to_string());
        }
    }
}

impl Sink for Notes {
    fn folder(&mut self, path: &Path, _: Meta) -> io::Result<()> {
        self.note(path);
        Ok(())
    }

    fn file(&mut self, path: &Path, _: Meta, _: u64, content: &mut dyn Read) -> io::Result<()> {
        self.note(path);
        self.bytes += io::copy(content, &mut io::sink())?;
        Ok(())
    }

    fn symlink(&mut self, path: &Path, _: Meta, target: &Path) -> io::Result<()> {
        self.note(path);
        if let Err(error) = link_stays_inside(path, target) {
            self.strayed.push(error);
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, _: Meta, original: &Path) -> io::Result<()> {
        self.note(path);
        self.note(original);
        Ok(())
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry as it is written down, whatever it says.
fn entry(kind: EntryType, path: &str, target: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    let put = |field: &mut [u8], text: &str| {
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text.as_bytes()[..length]);
    };
    put(&mut header.as_old_mut().name, path);
    put(&mut header.as_old_mut().linkname, target);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archives() -> Vec<Vec<u8>> {
    let end = vec![0; 1024];
    [
        [
            entry(EntryType::Directory, "a/", "", b""),
            entry(EntryType::Regular, "a/Dockerfile", "", b"FROM x\n"),
            end.clone(),
        ]
        .concat(),
        [
            entry(EntryType::Symlink, "link", "a/../b", b""),
            entry(EntryType::Regular, "link/x", "", b"1"),
            end.clone(),
        ]
        .concat(),
        [entry(EntryType::Link, "hard", "../outside", b""), end.clone()].concat(),
        [entry(EntryType::Regular, "/etc/passwd", "", b"root"), end.clone()].concat(),
        [
            entry(EntryType::GNULongName, "././@LongLink", "", b"b/../../c\0"),
            entry(EntryType::Regular, "short", "", b"1"),
            end.clone(),
        ]
        .concat(),
        [
            entry(EntryType::XHeader, "pax", "", b"18 path=../outside\n"),
            entry(EntryType::Regular, "short", "", b"1"),
            end.clone(),
        ]
        .concat(),
        [entry(EntryType::Char, "null", "", b""), end].concat(),
    ]
    .to_vec()
}

fn stays_within(archive: &[u8]) -> crate::fuzz::Verdict {
    let mut notes = Notes::default();
    let result = read(archive, &LIMITS, &mut notes);
    prop_assert!(notes.strayed.is_empty(), "{:?}", notes.strayed);
    prop_assert!(notes.bytes <= LIMITS.expanded_bytes, "{} bytes", notes.bytes);
    // A hard link is noted twice.
    prop_assert!(notes.entries <= 2 * 8, "{} entries", notes.entries);
    if let Ok(summary) = result {
        prop_assert!(summary.entries <= LIMITS.entries && summary.expanded_bytes <= LIMITS.expanded_bytes);
    }
    Ok(())
}

#[test]
fn packed() {
    let archives: Vec<Vec<u8>> = archives().iter().map(|tar| gz(tar)).collect();
    fuzz("archives, packed", &mutated(archives), |archive| {
        stays_within(&archive)
    });
}

#[test]
fn unpacked() {
    fuzz("archives' entries", &mutated(archives()), |tar| {
        stays_within(&gz(&tar))
    });
}

#[test]
fn entries() {
    let kind = proptest::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
        EntryType::Fifo,
        EntryType::GNUSparse,
    ]);
    let path = prop_oneof!["(/|\\./|\\.\\./|[ab]/){0,4}[ab.]{0,2}", "[ -~]{0,20}"];
    let target = prop_oneof!["(/|\\./|\\.\\./|[ab]/){0,4}[ab.]{0,2}", "[ -~]{0,20}"];
    let entries = vec((kind, path, target, vec(any::<u8>(), 0..40)), 1..12);
    fuzz("archives of made-up entries", &entries, |entries| {
        let mut tar = Vec::new();
        for (kind, path, target, content) in entries {
            tar.extend(entry(kind, &path, &target, &content));
        }
        tar.resize(tar.len() + 1024, 0);
        stays_within(&gz(&tar))
    });
}
