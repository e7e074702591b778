//! Unpacks an archive into an empty folder.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::domain::archive::{ArchiveError, Limits, Meta, Sink, Summary, read};

/// Unpacks a tar.gz archive into `root`, which must be an empty folder that no other process writes to.
pub fn unpack(reader: impl Read, root: &Path, limits: &Limits) -> Result<Summary, ArchiveError> {
    // Links in the folder would be followed.
    if fs::read_dir(root)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the folder is not empty").into());
    }
    let mut folder = Folder {
        root: root.to_owned(),
        folders: Vec::new(),
    };
    let summary = read(reader, limits, &mut folder)?;
    folder.close()?;
    Ok(summary)
}

struct Folder {
    root: PathBuf,
    folders: Vec<(PathBuf, Meta)>,
}

impl Folder {
    /// Prepares the place of an entry: creates the folders above it, and removes a file or link of the same
    /// name.
    fn place(&self, path: &Path) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(above) = place.parent() {
            fs::create_dir_all(above)?;
        }
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(place),
        }
    }

    /// Sets the modes of folders last, because a folder without write permission could not be filled.
    fn close(self) -> io::Result<()> {
        for (path, meta) in self.folders.iter().rev() {
            fs::set_permissions(path, Permissions::from_mode(meta.mode))?;
        }
        Ok(())
    }
}

impl Sink for Folder {
    fn folder(&mut self, path: &Path, meta: Meta) -> io::Result<()> {
        let place = self.root.join(path);
        fs::create_dir_all(&place)?;
        self.folders.push((place, meta));
        Ok(())
    }

    fn file(&mut self, path: &Path, meta: Meta, _size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut file = create(&self.place(path)?)?;
        io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(meta.mode))?;
        match SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(meta.mtime)) {
            Some(mtime) => file.set_modified(mtime),
            None => Ok(()),
        }
    }

    fn symlink(&mut self, path: &Path, _meta: Meta, target: &Path) -> io::Result<()> {
        symlink(target, self.place(path)?)
    }

    fn hard_link(&mut self, path: &Path, _meta: Meta, original: &Path) -> io::Result<()> {
        fs::hard_link(self.root.join(original), self.place(path)?)
    }
}

/// Creates a new file and fails if the path exists, so that nothing existing is written through.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
