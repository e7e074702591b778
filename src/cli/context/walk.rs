//! Selects the files of a folder that are sent.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    ContextError,
    rules::{Covered, Rules},
};
use crate::domain::archive::link_stays_inside;

/// An entry to send, by its path from the context's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File { size: u64 },
    Link { target: PathBuf },
}

/// Lists the entries to send, sorted by name: those that the rules do not leave out, and all of `always`.
pub(super) fn walk(
    root: &Path,
    rules: &Rules,
    always: &BTreeSet<PathBuf>,
) -> Result<Vec<Entry>, ContextError> {
    let mut walk = Walk {
        root,
        rules,
        always,
        entries: Vec::new(),
    };
    walk.folder(Path::new(""), &Covered::default(), &mut Vec::new())?;
    Ok(walk.entries)
}

struct Walk<'a> {
    root: &'a Path,
    rules: &'a Rules,
    always: &'a BTreeSet<PathBuf>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    /// Walks a folder. `left_out` has the folders above it that are sent only if an entry below them is.
    fn folder(
        &mut self,
        folder: &Path,
        covered: &Covered,
        left_out: &mut Vec<Entry>,
    ) -> Result<(), ContextError> {
        for name in names(&self.root.join(folder)).map_err(ContextError::reading(folder))? {
            let path = folder.join(name);
            let text = path.to_string_lossy();
            let (out, below) = self.rules.leave_out(&text, covered);
            let sent = !out || self.always.contains(&path);
            if !sent && !self.may_descend(&path, &text) {
                continue;
            }
            let found = match fs::symlink_metadata(self.root.join(&path)) {
                Ok(found) => found,
                // The entry was removed after the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ContextError::reading(&path)(error)),
            };
            if !sent && !found.is_dir() {
                continue;
            }
            let entry = self.entry(path, &found)?;
            let path = entry.path.clone();
            match (sent, found.is_dir()) {
                (true, is_folder) => {
                    self.entries.append(left_out);
                    self.entries.push(entry);
                    if is_folder {
                        self.folder(&path, &below, &mut Vec::new())?;
                    }
                }
                (false, _) => {
                    left_out.push(entry);
                    let depth = left_out.len();
                    self.folder(&path, &below, left_out)?;
                    // The entry is still in the list if no entry below it was sent.
                    if left_out.len() == depth {
                        left_out.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns true if a path below one that is left out may have to be sent.
    fn may_descend(&self, path: &Path, text: &str) -> bool {
        self.rules.may_take_in_below(text) || self.always.iter().any(|one| one.starts_with(path))
    }

    fn entry(&self, path: PathBuf, found: &Metadata) -> Result<Entry, ContextError> {
        let kind = found.file_type();
        let kind = if kind.is_dir() {
            EntryKind::Folder
        } else if kind.is_file() {
            EntryKind::File { size: found.len() }
        } else if kind.is_symlink() {
            let target = fs::read_link(self.root.join(&path)).map_err(ContextError::reading(&path))?;
            if let Err(reason) = link_stays_inside(&path, &target) {
                return Err(ContextError::Link { path, target, reason });
            }
            EntryKind::Link { target }
        } else {
            let what = match () {
                () if kind.is_socket() => "a socket",
                () if kind.is_fifo() => "a named pipe",
                () => "a device",
            };
            return Err(ContextError::Special { path, what });
        };
        Ok(Entry {
            path,
            kind,
            mode: found.mode() & 0o7777,
            mtime: u64::try_from(found.mtime()).unwrap_or(0),
        })
    }
}

/// Returns the names in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}
