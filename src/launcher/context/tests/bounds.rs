//! Archives that are too large, or say that they are not.

use std::io::{self, Read, Write};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use super::{Hostile, refused, refused_within};
use crate::domain::archive::Limits;

#[test]
fn each_limit_holds() {
    let three = || {
        Hostile::default()
            .file("a", "x")
            .file("b", "x")
            .file("c", "x")
            .gz()
    };
    let few = Limits {
        entries: 2,
        ..Limits::default()
    };
    assert!(refused_within(&three(), &few).contains("more than 2 entries"));
    let small = Limits {
        expanded_bytes: 2048,
        ..Limits::default()
    };
    assert!(refused_within(&three(), &small).contains("larger than 2048 bytes"));
    let long = Hostile::default().file(&"a/".repeat(600), "x").gz();
    assert!(refused(&long).contains("too long"));
    assert!(refused(&Hostile::default().file(&"n".repeat(256), "x").gz()).contains("too long"));
}

#[test]
fn a_bomb_is_refused_long_before_it_has_gone_off() {
    // 1 GiB of zeros in one file, written by hand: 1 MiB packed.
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(200 << 20), &mut encoder).unwrap();
    let reason = refused(&encoder.finish().unwrap());
    assert!(reason.contains("more than 250 times"), "{reason}");
}

#[test]
fn oversized_extended_headers_are_not_read_into_memory() {
    let mut archive = Hostile::default();
    archive.raw(EntryType::XHeader, b"pax", b"", &vec![b'x'; 300 * 1024]);
    assert!(refused(&archive.file("x", "").gz()).contains("oversized"));
}

#[test]
fn extended_headers_cannot_smuggle() {
    let with = |record: &[u8]| {
        let mut archive = Hostile::default();
        archive.raw(EntryType::XHeader, b"pax", b"", record);
        refused(&archive.file("harmless", "").gz())
    };
    assert!(with(b"20 path=/etc/passwd\n").contains("absolute"));
    assert!(with(b"10 size=1\n").contains("8 GiB"));
    assert!(with(b"13 path=a\0b/c\n").contains("malformed") || with(b"14 path=a\0bcd\n").contains("NUL"));
    assert!(with(b"9999 path=x\n").contains("malformed"));
    assert!(with(b"26 GNU.sparse.major=1.000\n").contains("sparse"));
}
