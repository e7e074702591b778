//! One member of a tar archive: its header, completed by the extension headers before it.

use std::io::{self, Read};

use tar::{Entry, EntryType};

use super::{ArchiveError, Meta, malformed, meter::Meter};

/// Upper bound in bytes of one extension header, whose content is held in memory.
const EXTENSION_BYTES: u64 = 256 * 1024;

/// Member as the archive describes it, not yet checked.
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryType,
    pub(super) meta: Meta,
    pub(super) size: u64,
}

/// Fields of the next member that extension headers set.
#[derive(Default)]
pub(super) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extensions {
    /// Reads an extension header; returns false if the entry is not one.
    pub(super) fn absorb<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, ArchiveError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(until_nul(content(entry)?)),
            EntryType::GNULongLink => self.link = Some(until_nul(content(entry)?)),
            EntryType::XHeader => self.absorb_pax(&content(entry)?)?,
            // Global headers hold comments, such as the commit that `git archive` writes; no program in use
            // puts a path there.
            EntryType::XGlobalHeader => drop(content(entry)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn absorb_pax(&mut self, mut records: &[u8]) -> Result<(), ArchiveError> {
        while !records.is_empty() {
            let (key, value, rest) =
                pax_record(records).ok_or_else(|| invalid("has a malformed extended header"))?;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                // An archive with two sizes for one member shows different files to different programs.
                b"size" => return Err(invalid("has a file of more than 8 GiB")),
                _ if key.starts_with(b"GNU.sparse.") => return Err(invalid("contains a sparse file")),
                _ => {}
            }
            records = rest;
        }
        Ok(())
    }

    /// Describes the member that follows the extension headers.
    pub(super) fn describe<R: Read>(self, entry: &Entry<'_, R>) -> Result<Member, ArchiveError> {
        let header = entry.header();
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self
            .link
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let mut kind = header.entry_type();
        // A contiguous file counts as a regular one. Archives from before 1988 store a folder as a file whose
        // name ends with a slash.
        if kind == EntryType::Continuous {
            kind = EntryType::Regular;
        }
        if kind == EntryType::Regular && path.ends_with(b"/") {
            kind = EntryType::Directory;
        }
        Ok(Member {
            path,
            link: link.unwrap_or_default(),
            kind,
            meta: Meta {
                mode: header.mode().map_err(malformed)? & 0o7777,
                mtime: header.mtime().unwrap_or_default(),
            },
            size: entry.size(),
        })
    }
}

fn invalid(reason: &str) -> ArchiveError {
    ArchiveError::Invalid(reason.to_owned())
}

fn content<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.size();
    if size > EXTENSION_BYTES {
        return Err(invalid("has an oversized extended header"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(malformed)?;
    if bytes.len() as u64 != size {
        return Err(invalid("breaks off"));
    }
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Splits `length key=value\n` off the front.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(..length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|b| *b == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], &records[length..]))
}

/// Reader of a file's content. If the archive ends before the file, the fault is the archive's, not the
/// source's.
pub(super) struct Body<'a, R> {
    inner: R,
    left: u64,
    meter: &'a Meter,
}

impl<'a, R> Body<'a, R> {
    pub(super) fn new(inner: R, size: u64, meter: &'a Meter) -> Self {
        Self {
            inner,
            left: size,
            meter,
        }
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        if bytes == 0 && self.left > 0 && !buffer.is_empty() {
            self.meter.blame_archive("breaks off".to_owned());
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(bytes as u64);
        Ok(bytes)
    }
}
