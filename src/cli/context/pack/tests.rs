use std::fs;

use super::*;

#[test]
fn a_file_that_becomes_shorter_while_it_is_read_is_no_silent_loss() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("log");
    fs::write(&path, vec![b'x'; 300_000]).expect("it can be written");
    let entry = Entry {
        path: PathBuf::from("log"),
        kind: EntryKind::File { size: 300_000 },
        mode: 0o644,
        mtime: 0,
    };
    let cut = |_| fs::write(&path, "short").expect("it can be written");
    let error = pack(folder.path(), &[entry], &[], Vec::new(), cut).expect_err("it is noticed");
    assert_eq!(
        error.to_string(),
        "log cannot be packed: it became shorter while it was read; try again, or list it in .dockerignore"
    );
}

#[test]
fn bytes_are_counted_as_they_are_read() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("a"), vec![b'x'; 100_000]).expect("it can be written");
    let entry = Entry {
        path: PathBuf::from("a"),
        kind: EntryKind::File { size: 100_000 },
        mode: 0o644,
        mtime: 0,
    };
    let mut read = 0;
    pack(folder.path(), &[entry], &[], Vec::new(), |length| read += length).expect("it can be packed");
    assert_eq!(read, 100_000);
}

/// A receiver that hangs up.
struct Deaf;

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_receiver_that_hangs_up_is_told_from_a_file_that_fails() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("a"), "x").expect("it can be written");
    let entry = Entry {
        path: PathBuf::from("a"),
        kind: EntryKind::File { size: 1 },
        mode: 0o644,
        mtime: 0,
    };
    let error = pack(folder.path(), &[entry], &[], Deaf, |_| {}).expect_err("it hangs up");
    assert!(error.is_broken_pipe(), "{error}");
}
