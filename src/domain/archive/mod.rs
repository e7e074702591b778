//! Reads the tar.gz archives that callers upload, and trusts nothing in them.
//!
//! Every operation on an archive (check, unpack, pass on) uses [`read`], so that one set of rules holds
//! everywhere: nothing outside the root, no links that lead out of it, no devices, nothing beyond the limits.

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

/// Upper bounds for one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression, headers included.
    pub expanded_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Upper bound of the expanded size divided by the compressed size; not checked for small archives.
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

/// Reason why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive is at fault. The text is the predicate of a sentence, such as `contains …`.
    #[error("the archive {0}")]
    Invalid(String),
    /// Reading the archive or writing its content failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Totals of an archive that was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes after decompression.
    pub expanded_bytes: u64,
}

/// Metadata of an entry that is kept besides its name and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

/// Receiver of an archive's entries, in the archive's order. All paths are relative to the root, clean, and
/// never below a link; a file or link may replace an earlier file or link of the same name.
pub trait Sink {
    /// Receives a folder, which may exist already.
    fn folder(&mut self, path: &Path, meta: Meta) -> io::Result<()>;
    /// Receives a file of `size` bytes.
    fn file(&mut self, path: &Path, meta: Meta, size: u64, content: &mut dyn Read) -> io::Result<()>;
    /// Receives a symbolic link that stays inside the root.
    fn symlink(&mut self, path: &Path, meta: Meta, target: &Path) -> io::Result<()>;
    /// Receives a hard link: a second name of the earlier file `original`.
    fn hard_link(&mut self, path: &Path, meta: Meta, original: &Path) -> io::Result<()>;
}

/// Reads a tar.gz archive to its end and passes its entries to `sink`; stops at the first entry that is not
/// allowed.
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
    // The checksum of the gzip stream comes last, so the stream is read to its very end.
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

/// Turns an error of the tar reader into an invalid archive. `Meter::verdict` replaces it if a layer below
/// failed.
fn malformed(error: io::Error) -> ArchiveError {
    ArchiveError::Invalid(format!("is not a valid tar archive: {error}"))
}

/// Returns a phrase for a kind of entry.
fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "an entry of an unknown kind",
    }
}
