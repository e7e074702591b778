//! A folder as a build context.

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

/// What a Dockerfile from elsewhere is called inside the context.
const GUEST: &str = ".slipway.Dockerfile";
const IGNORE: &str = ".dockerignore";

/// Why a folder cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// There is no such folder.
    #[error("{} is no folder: {source}", .path.display())]
    NoFolder { path: PathBuf, source: io::Error },
    /// There is no Dockerfile.
    #[error("there is no Dockerfile at {}: name it with --file", .0.display())]
    NoDockerfile(PathBuf),
    /// A pattern makes no sense.
    #[error("{}, line {line}: {text:?} is no pattern", .path.display())]
    Pattern {
        path: PathBuf,
        line: usize,
        text: String,
    },
    /// A link that the service does not take.
    #[error(
        "the context {reason}: {} -> {}; make it relative, or list it in .dockerignore",
        .path.display(), .target.display()
    )]
    Link {
        path: PathBuf,
        target: PathBuf,
        reason: String,
    },
    /// Something that is no file, folder or link.
    #[error("{} is {what}, which cannot be sent; list it in .dockerignore", .path.display())]
    Special { path: PathBuf, what: &'static str },
    /// It cannot be read.
    #[error("{} cannot be read: {source}; set its permissions, or list it in .dockerignore", .path.display())]
    Reading { path: PathBuf, source: io::Error },
    /// It changed under our hands, or the archive cannot be written.
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

    /// Whether only the receiver of the archive went away.
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

/// A Dockerfile for a folder.
#[derive(Debug, Clone)]
pub(super) enum Dockerfile {
    /// A file, inside the folder or elsewhere; `Dockerfile` in the folder where none was named.
    File(Option<PathBuf>),
    /// Its text, from somewhere else.
    Text(Vec<u8>),
}

/// A folder that was looked through, ready to be sent.
#[derive(Debug)]
pub(super) struct Context {
    root: PathBuf,
    entries: Vec<Entry>,
    additions: Vec<Addition>,
    dockerfile: PathBuf,
}

impl Context {
    /// Looks through a folder.
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

    /// The Dockerfile's path inside the context.
    pub(super) fn dockerfile(&self) -> &Path {
        &self.dockerfile
    }

    /// How many bytes its files have.
    pub(super) fn size(&self) -> u64 {
        let size = |entry: &Entry| match entry.kind {
            EntryKind::File { size } => size,
            EntryKind::Folder | EntryKind::Link { .. } => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// How many files, folders and links it has.
    pub(super) fn count(&self) -> usize {
        self.entries.len() + self.additions.len()
    }

    /// Writes it as a tar.gz archive; `read` is told of bytes as they are read. Answers the files that went away.
    pub(super) fn pack(
        &self,
        writer: impl Write,
        read: impl FnMut(u64),
    ) -> Result<Vec<PathBuf>, ContextError> {
        pack(&self.root, &self.entries, &self.additions, writer, read)
    }
}

/// Which rules hold, and what is sent besides.
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
        // Not the file itself: where it is a link, the link is what is in the context.
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

    /// The Dockerfile is one of the context's files.
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
            // The executor reads them from the context, too.
            always: BTreeSet::from([dockerfile.clone(), ignore]),
            additions: Vec::new(),
            dockerfile,
        })
    }

    /// The Dockerfile comes from elsewhere: it is added, with an ignore file of its own that keeps both out of the image.
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

/// The ignore file that is for one Dockerfile alone, and goes before the general one.
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
