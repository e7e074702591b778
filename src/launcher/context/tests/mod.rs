//! Hostile archives, and harmless ones that look odd.

mod bounds;
mod broken;
mod escapes;
mod honest;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use crate::domain::archive::{ArchiveError, Limits, validate};

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
