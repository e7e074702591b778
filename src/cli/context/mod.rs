//! Reads a folder as a build context.

mod pack;
mod pattern;
mod rules;
mod walk;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use self::{
    pack::{Addition, pack},
    rules::Rules,
    walk::{Entry, EntryKind, walk},
};

/// Name inside the context of a Dockerfile from elsewhere.
const GUEST: &str = ".slipway.Dockerfile";
const IGNORE: &str = ".dockerignore";

/// Reason why a folder cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// The folder does not exist, or is no folder.
    #[error("{} is no folder: {source}", .path.display())]
    NoFolder { path: PathBuf, source: io::Error },
    /// There is no Dockerfile.
    #[error("there is no Dockerfile at {}: name it with --file", .0.display())]
    NoDockerfile(PathBuf),
    /// A pattern is invalid.
    #[error("{}, line {line}: {text:?} is no pattern", .path.display())]
    Pattern {
        path: PathBuf,
        line: usize,
        text: String,
    },
    /// The service refuses such a link.
    #[error(
        "the context {reason}: {} -> {}; make it relative, or list it in .dockerignore",
        .path.display(), .target.display()
    )]
    Link {
        path: PathBuf,
        target: PathBuf,
        reason: String,
    },
    /// The path is no file, folder or link.
    #[error("{} is {what}, which cannot be sent; list it in .dockerignore", .path.display())]
    Special { path: PathBuf, what: &'static str },
    /// The path cannot be read.
    #[error("{} cannot be read: {source}; set its permissions, or list it in .dockerignore", .path.display())]
    Reading { path: PathBuf, source: io::Error },
    /// The path changed during packing, or the archive cannot be written.
    #[error("{} cannot be packed: {source}; try again, or list it in .dockerignore", .path.display())]
    Packing { path: PathBuf, source: io::Error },
}

impl ContextError {
    fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = shown(path);
        |source| Self::Reading { path, source }
    }

    fn packing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = shown(path);
        |source| Self::Packing { path, source }
    }

    /// Returns true if the receiver of the archive closed it.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Packing { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn shown(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        return PathBuf::from(".");
    }
    path.to_owned()
}

/// Dockerfile of a folder's build.
#[derive(Debug, Clone)]
pub(super) enum Dockerfile {
    /// A file, inside the folder or elsewhere; `None` is `Dockerfile` in the folder.
    File(Option<PathBuf>),
    /// The Dockerfile's text, from standard input.
    Text(Vec<u8>),
}

/// A folder whose files are listed and can be packed.
#[derive(Debug)]
pub(super) struct Context {
    root: PathBuf,
    entries: Vec<Entry>,
    additions: Vec<Addition>,
    dockerfile: PathBuf,
}

impl Context {
    /// Lists the files of a folder that are to be sent.
    pub(super) fn look(folder: &Path, dockerfile: Dockerfile) -> Result<Self, ContextError> {
        let no_folder = |source| ContextError::NoFolder {
            path: folder.to_owned(),
            source,
        };
        let root = folder.canonicalize().map_err(no_folder)?;
        if !root.is_dir() {
            return Err(no_folder(io::ErrorKind::NotADirectory.into()));
        }
        let plan = Plan::make(&root, dockerfile)?;
        let entries = walk(&root, &plan.rules, &plan.always)?;
        Ok(Self {
            root,
            entries,
            additions: plan.additions,
            dockerfile: plan.dockerfile,
        })
    }

    /// Returns the Dockerfile's path inside the context.
    pub(super) fn dockerfile(&self) -> &Path {
        &self.dockerfile
    }

    /// Returns the number of bytes in the folder's files.
    pub(super) fn size(&self) -> u64 {
        let size = |entry: &Entry| match entry.kind {
            EntryKind::File { size } => size,
            EntryKind::Folder | EntryKind::Link { .. } => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// Returns the number of files, folders and links, with those that are added.
    pub(super) fn count(&self) -> usize {
        self.entries.len() + self.additions.len()
    }

    /// Writes the tar.gz archive, and returns the files that were removed meanwhile. Calls `read` with the
    /// length of each read.
    pub(super) fn pack(
        &self,
        writer: impl Write,
        read: impl FnMut(u64),
    ) -> Result<Vec<PathBuf>, ContextError> {
        pack(&self.root, &self.entries, &self.additions, writer, read)
    }
}

/// Rules of a context, and the files that are sent in any case.
struct Plan {
    rules: Rules,
    always: BTreeSet<PathBuf>,
    additions: Vec<Addition>,
    dockerfile: PathBuf,
}

impl Plan {
    fn make(root: &Path, dockerfile: Dockerfile) -> Result<Self, ContextError> {
        let file = match dockerfile {
            Dockerfile::Text(text) => return Self::guest(root, text, None),
            Dockerfile::File(named) => named.unwrap_or_else(|| root.join("Dockerfile")),
        };
        let missing = || ContextError::NoDockerfile(file.clone());
        let name = file.file_name().ok_or_else(missing)?;
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Only the parent is resolved: if the Dockerfile is a link, the context contains the link.
        let parent = parent.canonicalize().map_err(|_| missing())?;
        if !file.is_file() {
            return Err(missing());
        }
        match parent.strip_prefix(root) {
            Ok(inside) => Self::inside(root, inside.join(name)),
            Err(_) => {
                let text = fs::read(&file).map_err(ContextError::reading(&file))?;
                let own = parent.join(with_ignore(Path::new(name)));
                Self::guest(root, text, Some(own))
            }
        }
    }

    /// Plans a context whose Dockerfile is one of its files.
    fn inside(root: &Path, dockerfile: PathBuf) -> Result<Self, ContextError> {
        let own = with_ignore(&dockerfile);
        let ignore = if root.join(&own).is_file() {
            own
        } else {
            PathBuf::from(IGNORE)
        };
        let text = read_if_there(&root.join(&ignore))?.unwrap_or_default();
        Ok(Self {
            rules: parse(&root.join(&ignore), &text)?,
            // The executor reads both from the context, so they are sent even if a pattern covers them.
            always: BTreeSet::from([dockerfile.clone(), ignore]),
            additions: Vec::new(),
            dockerfile,
        })
    }

    /// Adds a Dockerfile from elsewhere, with an ignore file of its own that keeps both out of the image.
    fn guest(root: &Path, text: Vec<u8>, own: Option<PathBuf>) -> Result<Self, ContextError> {
        let own = match own {
            Some(own) => read_if_there(&own)?.map(|ignore| (own, ignore)),
            None => None,
        };
        let (path, mut ignore) = match own {
            Some(own) => own,
            None => {
                let path = root.join(IGNORE);
                let text = read_if_there(&path)?.unwrap_or_default();
                (path, text)
            }
        };
        let rules = parse(&path, &ignore)?;
        ignore.extend_from_slice(format!("\n{GUEST}\n{GUEST}{IGNORE}\n").as_bytes());
        let addition = |path: &Path, text| Addition {
            path: path.to_owned(),
            text,
        };
        let dockerfile = PathBuf::from(GUEST);
        Ok(Self {
            rules,
            always: BTreeSet::from([PathBuf::from(IGNORE)]),
            additions: vec![
                addition(&dockerfile, text),
                addition(&with_ignore(&dockerfile), ignore),
            ],
            dockerfile,
        })
    }
}

/// Returns the path of the ignore file for this Dockerfile, which takes precedence over the general one.
fn with_ignore(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(IGNORE);
    name.into()
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ContextError::reading(path)(error)),
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Rules, ContextError> {
    Rules::parse(&String::from_utf8_lossy(text)).map_err(|(line, text)| ContextError::Pattern {
        path: path.to_owned(),
        line,
        text,
    })
}

#[cfg(test)]
mod tests;
