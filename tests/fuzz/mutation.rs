//! Real inputs, a little wrong.

use proptest::{collection::vec, prelude::*, sample::Index};

/// One thing that goes wrong with some bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Put(Index, Vec<u8>),
    Drop(Index, Index),
    Twice(Index, Index),
    CutOff(Index),
}

/// What breaks parsers: ends, quotes, numbers without an end, other alphabets, and what is no text.
fn ugly() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        &b"\0"[..],
        b"\xff\xfe",
        b"\"",
        b"\\u0000",
        b"\\ud800",
        b"{",
        b"[[[[[[[[",
        b"null",
        b"-1",
        b"1e999",
        b"99999999999999999999",
        b"true",
        b"../../",
        b"\r\n\r\n",
        "\u{202e}".as_bytes(),
        b"refs/heads/-x",
        b"refs/tags/",
        b"0000000000000000000000000000000000000000",
        b"<script>",
        b"\x1b[31m",
    ]
    .map(<[u8]>::to_vec);
    prop_oneof![proptest::sample::select(known.to_vec()), vec(any::<u8>(), 0..8)]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        4 => (any::<Index>(), ugly()).prop_map(|(at, bytes)| Mutation::Put(at, bytes)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Drop(from, to)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Twice(from, to)),
        1 => any::<Index>().prop_map(Mutation::CutOff),
    ]
}

/// A stretch of at most 64 bytes.
fn stretch(length: usize, from: &Index, to: &Index) -> std::ops::Range<usize> {
    let from = from.index(length + 1);
    from..(from + to.index(64)).min(length)
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    match mutation {
        Mutation::Flip(at, byte) if length > 0 => bytes[at.index(length)] ^= byte,
        Mutation::Flip(..) => {}
        Mutation::Put(at, what) => {
            let at = at.index(length + 1);
            bytes.splice(at..at, what.iter().copied());
        }
        Mutation::Drop(from, to) => drop(bytes.drain(stretch(length, from, to))),
        Mutation::Twice(from, to) => {
            let range = stretch(length, from, to);
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.start..range.start, copy);
        }
        Mutation::CutOff(at) => bytes.truncate(at.index(length + 1)),
    }
}

/// One of these, with nothing to eight things wrong.
pub fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (proptest::sample::select(seeds), vec(mutation(), 0..8)).prop_map(|(mut bytes, mutations)| {
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        bytes
    })
}

/// The same as text; what is none becomes replacement characters.
pub fn mutated_text(seeds: &[&str]) -> impl Strategy<Value = String> + use<> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    prop_oneof![
        4 => mutated(seeds).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        1 => ".{0,80}",
        1 => any::<String>(),
    ]
}
