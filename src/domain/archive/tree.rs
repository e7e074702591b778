//! Decides which entries are allowed, given the entries before them.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tar::EntryType;

use super::{ArchiveError, Limits, kind_name, members::Member};

/// Kind of a known path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File,
    Symlink,
}

/// Entry that is allowed.
pub(super) enum Admitted {
    /// The root itself, which exists already.
    Root,
    Folder(PathBuf),
    File(PathBuf),
    Symlink(PathBuf, PathBuf),
    HardLink(PathBuf, PathBuf),
}

/// Paths that the archive has created so far.
pub(super) struct Tree<'a> {
    limits: &'a Limits,
    nodes: HashMap<PathBuf, Node>,
    entries: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            nodes: HashMap::new(),
            entries: 0,
        }
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Admits a member, or returns the reason against it.
    pub(super) fn admit(&mut self, member: &Member) -> Result<Admitted, ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::Invalid(format!(
                "has more than {} entries",
                self.limits.entries
            )));
        }
        let refuse = |reason: String| ArchiveError::Invalid(format!("{reason}: {}", shown(&member.path)));
        let path = clean(&member.path, self.limits.path_bytes).map_err(refuse)?;
        self.place(path, member).map_err(refuse)
    }

    fn place(&mut self, path: PathBuf, member: &Member) -> Result<Admitted, String> {
        if path.as_os_str().is_empty() {
            return match member.kind {
                EntryType::Directory => Ok(Admitted::Root),
                _ => Err("replaces its own root".into()),
            };
        }
        self.grow_to(&path)?;
        match member.kind {
            EntryType::Directory => {
                self.set(&path, Node::Folder)?;
                Ok(Admitted::Folder(path))
            }
            EntryType::Regular => {
                self.set(&path, Node::File)?;
                Ok(Admitted::File(path))
            }
            EntryType::Symlink => {
                let target = inside_target(&path, &member.link, self.limits.path_bytes)?;
                self.set(&path, Node::Symlink)?;
                Ok(Admitted::Symlink(path, target))
            }
            EntryType::Link => {
                let original = clean(&member.link, self.limits.path_bytes)?;
                if original == path || self.nodes.get(&original) != Some(&Node::File) {
                    return Err("contains a hard link to what is no earlier file of it".into());
                }
                self.set(&path, Node::File)?;
                Ok(Admitted::HardLink(path, original))
            }
            other => Err(format!("contains {}", kind_name(other))),
        }
    }

    /// Records every folder above `path`, or fails if one of them is a file or a symbolic link.
    fn grow_to(&mut self, path: &Path) -> Result<(), String> {
        for above in path
            .ancestors()
            .skip(1)
            .filter(|above| !above.as_os_str().is_empty())
        {
            match self.nodes.get(above) {
                // Every folder above a known folder is known, too.
                Some(Node::Folder) => return Ok(()),
                Some(Node::File) => return Err("contains an entry below a file".into()),
                Some(Node::Symlink) => return Err("contains an entry below a symbolic link".into()),
                None => {
                    self.nodes.insert(above.to_owned(), Node::Folder);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &Path, node: Node) -> Result<(), String> {
        match self.nodes.get(path) {
            Some(Node::Folder) if node != Node::Folder => Err("replaces a folder".into()),
            Some(Node::File | Node::Symlink) if node == Node::Folder => {
                Err("replaces a file by a folder".into())
            }
            _ => {
                self.nodes.insert(path.to_owned(), node);
                Ok(())
            }
        }
    }
}

/// Returns the path below the root, without `.` and doubled slashes; empty for the root itself.
fn clean(path: &[u8], max: usize) -> Result<PathBuf, String> {
    check_length(path, max)?;
    if path.is_empty() {
        return Err("contains an entry without a name".into());
    }
    if path.starts_with(b"/") {
        return Err("contains an absolute path".into());
    }
    let mut clean = PathBuf::new();
    for part in parts(path) {
        if part == b".." {
            return Err("contains a path with '..'".into());
        }
        clean.push(OsStr::from_bytes(part));
    }
    Ok(clean)
}

/// Checks that an archive may hold this link. The error is the predicate of a sentence: `contains …`.
pub fn link_stays_inside(link: &Path, target: &Path) -> Result<(), String> {
    let max = Limits::default().path_bytes;
    inside_target(link, target.as_os_str().as_bytes(), max).map(drop)
}

/// Returns a link's target if it certainly stays inside the root.
///
/// `..` is allowed only at the start: there it counts from the link's own folder, which is a real one. After
/// a name that turns out to be a link, it could lead anywhere.
fn inside_target(link: &Path, target: &[u8], max: usize) -> Result<PathBuf, String> {
    check_length(target, max)?;
    if target.is_empty() {
        return Err("contains a symbolic link to nothing".into());
    }
    if target.starts_with(b"/") {
        return Err("contains a symbolic link to an absolute path".into());
    }
    let depth = link.components().count() - 1;
    let ups = parts(target).take_while(|part| *part == b"..").count();
    if ups > depth || parts(target).skip(ups).any(|part| part == b"..") {
        return Err("contains a symbolic link that may leave it".into());
    }
    Ok(PathBuf::from(OsStr::from_bytes(target)))
}

fn check_length(path: &[u8], max: usize) -> Result<(), String> {
    if path.len() > max || parts(path).any(|part| part.len() > 255) {
        return Err("contains a path that is too long".into());
    }
    if path.contains(&0) {
        return Err("contains a path with a NUL".into());
    }
    Ok(())
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// Formats a path so that it is safe to print.
fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(&path[..path.len().min(200)]);
    format!("'{}'", text.escape_debug())
}
