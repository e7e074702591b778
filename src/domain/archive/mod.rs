//! Reads the tar.gz archives that callers upload, and trusts nothing in them.
//!
//! Whatever is done with an archive (checked, unpacked, passed on) goes through [`read`], so that one set of rules
//! holds everywhere: nothing outside the root, no links that lead out of it, no devices, nothing beyond the limits.

mod members;
mod meter;
mod sanitize;
mod tree;

use std::{
    io::{self, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use self::{
    members::{Body, Extensions},
    meter::{Expanded, Meter, Packed},
    tree::{Admitted, Tree},
};

pub use sanitize::{sanitize, validate};
pub use tree::link_stays_inside;

/// How much an archive may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression, headers included.
    pub expanded_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// How many times larger than packed the archive may become; small archives are not measured.
    pub ratio: u64,
    /// Bytes in one path.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            expanded_bytes: 8 << 30,
            entries: 200_000,
            ratio: 250,
            path_bytes: 1024,
        }
    }
}

/// Why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive is at fault: half a sentence, such as `contains …`.
    #[error("the archive {0}")]
    Invalid(String),
    /// Reading it, or writing what it holds, failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What an archive held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes after decompression.
    pub expanded_bytes: u64,
}

/// What is kept of an entry besides its name and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

/// Takes what an archive holds, in its order. All paths are relative to the root, clean, and never below a link; a
/// file or link may replace an earlier file or link of the same name.
pub trait Sink {
    /// A folder, perhaps one that is there already.
    fn folder(&mut self, path: &Path, meta: Meta) -> io::Result<()>;
    /// A file of `size` bytes.
    fn file(&mut self, path: &Path, meta: Meta, size: u64, content: &mut dyn Read) -> io::Result<()>;
    /// A symbolic link that stays inside the root.
    fn symlink(&mut self, path: &Path, meta: Meta, target: &Path) -> io::Result<()>;
    /// A second name of the earlier file `original`.
    fn hard_link(&mut self, path: &Path, meta: Meta, original: &Path) -> io::Result<()>;
}

/// Reads a tar.gz archive to its end and gives `sink` what it holds; stops at the first thing that is not allowed.
pub fn read(reader: impl Read, limits: &Limits, sink: &mut impl Sink) -> Result<Summary, ArchiveError> {
    let meter = Meter::new(limits);
    let unpacked = Expanded::new(MultiGzDecoder::new(Packed::new(reader, &meter)), &meter);
    match read_tar(unpacked, limits, &meter, sink) {
        Ok(entries) => Ok(Summary {
            entries,
            expanded_bytes: meter.expanded(),
        }),
        Err(error) => Err(meter.verdict(error)),
    }
}

fn read_tar<'a, R: Read + 'a>(
    reader: Expanded<'a, R>,
    limits: &Limits,
    meter: &Meter,
    sink: &mut impl Sink,
) -> Result<u64, ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let mut tree = Tree::new(limits);
    let mut extensions = Extensions::default();
    for entry in archive.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        if extensions.absorb(&mut entry)? {
            continue;
        }
        let member = std::mem::take(&mut extensions).describe(&entry)?;
        let admitted = tree.admit(&member)?;
        deliver(
            &admitted,
            member.meta,
            member.size,
            &mut Body::new(entry, member.size, meter),
            sink,
        )?;
    }
    if tree.entries() == 0 {
        return Err(ArchiveError::Invalid("holds no files".into()));
    }
    // To the very end: the checksum of the gzip stream comes last.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(malformed)?;
    Ok(tree.entries())
}

fn deliver(
    admitted: &Admitted,
    meta: Meta,
    size: u64,
    content: &mut dyn Read,
    sink: &mut impl Sink,
) -> io::Result<()> {
    match admitted {
        Admitted::Root => Ok(()),
        Admitted::Folder(path) => sink.folder(path, meta),
        Admitted::File(path) => sink.file(path, meta, size, content),
        Admitted::Symlink(path, target) => sink.symlink(path, meta, target),
        Admitted::HardLink(path, original) => sink.hard_link(path, meta, original),
    }
}

/// An error of the tar format itself. Where the stream below gave way, the meter knows better.
fn malformed(error: io::Error) -> ArchiveError {
    ArchiveError::Invalid(format!("is not a valid tar archive: {error}"))
}

/// A kind of entry in words.
fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "an entry of an unknown kind",
    }
}
