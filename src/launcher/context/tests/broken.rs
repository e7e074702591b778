//! Archives that end early, and files that are not archives.

use std::io::{self, Read};

use super::{Hostile, gz, refused};
use crate::domain::archive::{ArchiveError, Limits, validate};

#[test]
fn broken_archives_are_the_archives_fault() {
    let good = Hostile::default().file("a", &"content".repeat(1000)).gz();
    for (what, bytes) in [
        ("cut", &good[..good.len() / 2]),
        ("without its checksum", &good[..good.len() - 4]),
        ("no gzip", &b"hello"[..]),
        ("empty", &b""[..]),
        ("no tar", &gz(&[7; 2048])[..]),
        ("nothing in it", &gz(&[0; 1024])[..]),
        (
            "tar cut",
            &gz(&Hostile::default().file("a", &"content".repeat(1000)).tar()[..1024])[..],
        ),
    ] {
        assert!(!refused(bytes).is_empty(), "{what}");
    }
    let mut flipped = good.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    assert!(refused(&flipped).contains("gzip"));
}

#[test]
fn a_source_that_fails_is_not_the_archives_fault() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let good = Hostile::default().file("a", "x").gz();
    let broken = good[..20].chain(Failing);
    assert!(matches!(
        validate(broken, &Limits::default()),
        Err(ArchiveError::Io(_))
    ));
}
