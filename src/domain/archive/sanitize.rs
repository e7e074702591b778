//! Checks an archive, or passes it on as a plain tar archive that holds only checked entries.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tar::{EntryType, Header};

use super::{ArchiveError, Limits, Meta, Sink, Summary, read};

/// Reads an archive to its end without keeping its content.
pub fn validate(reader: impl Read, limits: &Limits) -> Result<Summary, ArchiveError> {
    read(reader, limits, &mut Nothing)
}

/// Writes the content of a tar.gz archive as an uncompressed tar archive, all of it below the folder
/// `prefix`. The folder and its parents are created; an empty prefix means the root. All entries belong to
/// root.
pub fn sanitize(
    reader: impl Read,
    writer: impl Write,
    prefix: &Path,
    limits: &Limits,
) -> Result<Summary, ArchiveError> {
    let mut sink = Tar {
        builder: tar::Builder::new(writer),
        prefix: prefix.to_owned(),
    };
    let made: Vec<&Path> = prefix
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    for folder in made.into_iter().rev() {
        sink.append(
            EntryType::Directory,
            folder,
            Meta {
                mode: 0o755,
                mtime: 0,
            },
            0,
            &mut io::empty(),
        )?;
    }
    let summary = read(reader, limits, &mut sink)?;
    sink.builder.into_inner()?.flush()?;
    Ok(summary)
}

struct Nothing;

impl Sink for Nothing {
    fn folder(&mut self, _: &Path, _: Meta) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &Path, _: Meta, _: u64, content: &mut dyn Read) -> io::Result<()> {
        io::copy(content, &mut io::sink()).map(drop)
    }

    fn symlink(&mut self, _: &Path, _: Meta, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn hard_link(&mut self, _: &Path, _: Meta, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

struct Tar<W: Write> {
    builder: tar::Builder<W>,
    prefix: PathBuf,
}

impl<W: Write> Tar<W> {
    fn append(
        &mut self,
        kind: EntryType,
        path: &Path,
        meta: Meta,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        self.builder
            .append_data(&mut header(kind, meta, size), path, content)
    }

    fn append_link(&mut self, kind: EntryType, path: &Path, meta: Meta, target: &Path) -> io::Result<()> {
        self.builder
            .append_link(&mut header(kind, meta, 0), self.prefix.join(path), target)
    }
}

fn header(kind: EntryType, meta: Meta, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode);
    header.set_mtime(meta.mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

impl<W: Write> Sink for Tar<W> {
    fn folder(&mut self, path: &Path, meta: Meta) -> io::Result<()> {
        self.append(
            EntryType::Directory,
            &self.prefix.join(path),
            meta,
            0,
            &mut io::empty(),
        )
    }

    fn file(&mut self, path: &Path, meta: Meta, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.append(EntryType::Regular, &self.prefix.join(path), meta, size, content)
    }

    fn symlink(&mut self, path: &Path, meta: Meta, target: &Path) -> io::Result<()> {
        self.append_link(EntryType::Symlink, path, meta, target)
    }

    fn hard_link(&mut self, path: &Path, meta: Meta, original: &Path) -> io::Result<()> {
        self.append_link(EntryType::Link, path, meta, &self.prefix.join(original))
    }
}
