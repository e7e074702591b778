//! Packs a folder into a tar.gz archive. The same files give the same bytes.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::{
    ContextError,
    walk::{Entry, EntryKind},
};

/// A file to add that is not in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addition {
    pub path: PathBuf,
    pub text: Vec<u8>,
}

/// Writes the archive, and returns the files that were removed meanwhile. Calls `read` with the length of
/// each read.
pub(super) fn pack(
    root: &Path,
    entries: &[Entry],
    additions: &[Addition],
    writer: impl Write,
    mut read: impl FnMut(u64),
) -> Result<Vec<PathBuf>, ContextError> {
    // Most contexts are small and the network is near: time matters more than the last tenth of the size.
    let mut tar = Builder::new(GzEncoder::new(writer, Compression::fast()));
    let mut gone = Vec::new();
    for entry in entries {
        let failed = ContextError::packing(&entry.path);
        match &entry.kind {
            EntryKind::Folder => {
                let mut header = header(EntryType::Directory, entry.mode, entry.mtime, 0);
                tar.append_data(&mut header, &entry.path, io::empty())
                    .map_err(failed)?;
            }
            EntryKind::Link { target } => {
                let mut header = header(EntryType::Symlink, 0o777, entry.mtime, 0);
                tar.append_link(&mut header, &entry.path, target)
                    .map_err(failed)?;
            }
            EntryKind::File { .. } => match File::open(root.join(&entry.path)) {
                Ok(file) => append_file(&mut tar, entry, file, &mut read).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => gone.push(entry.path.clone()),
                Err(error) => return Err(ContextError::reading(&entry.path)(error)),
            },
        }
    }
    for addition in additions {
        let mut header = header(EntryType::Regular, 0o644, 0, addition.text.len() as u64);
        tar.append_data(&mut header, &addition.path, addition.text.as_slice())
            .map_err(ContextError::packing(&addition.path))?;
    }
    let finished = tar.into_inner().and_then(GzEncoder::finish);
    let flushed = finished.and_then(|mut writer| writer.flush());
    flushed.map_err(ContextError::packing(Path::new(".")))?;
    Ok(gone)
}

/// Appends a file with the length that it has when it is opened, even if it grows meanwhile.
fn append_file<W: Write>(
    tar: &mut Builder<W>,
    entry: &Entry,
    file: File,
    read: &mut impl FnMut(u64),
) -> io::Result<()> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file any more"));
    }
    let mut header = header(EntryType::Regular, entry.mode, entry.mtime, found.len());
    let whole = Whole {
        file,
        left: found.len(),
        read,
    };
    tar.append_data(&mut header, &entry.path, whole)
}

/// Reads exactly the announced bytes of a file; a shorter file is an error.
struct Whole<'a, F> {
    file: File,
    left: u64,
    read: &'a mut F,
}

impl<F: FnMut(u64)> Read for Whole<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        if most == 0 {
            return Ok(0);
        }
        let length = self.file.read(&mut into[..most])?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was read",
            ));
        }
        self.left -= length as u64;
        (self.read)(length as u64);
        Ok(length)
    }
}

/// Creates a header; every entry belongs to root, as in Docker.
fn header(kind: EntryType, mode: u32, mtime: u64, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests;
