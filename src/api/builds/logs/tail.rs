//! The end of a log as its followers share it: a window of pieces, none of which ends within a character.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::Serialize;

use crate::{api::streams, store::LogState};

/// Bytes that are kept for followers that are not quite up to date; those further behind read the table.
const WINDOW: usize = 256 * 1024;

/// A piece of a log. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
    /// As an event, once somebody asked for that: the same for all who read the whole piece.
    event: Arc<OnceLock<Bytes>>,
}

#[derive(Serialize)]
struct LogEvent<'a> {
    attempt: u32,
    offset: u64,
    text: &'a str,
}

impl Segment {
    /// What was read at `offset`, without the beginning of a character that more of may come.
    pub(super) fn new(offset: u64, mut bytes: Vec<u8>, more: bool) -> Self {
        if more {
            bytes.truncate(whole_characters(&bytes));
        }
        Self {
            offset,
            bytes: bytes.into(),
            event: Arc::default(),
        }
    }

    /// The byte after it.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// The piece from a byte on that lies in it.
    fn from(&self, at: u64) -> Self {
        let skipped = usize::try_from(at.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if skipped == 0 {
            return self.clone();
        }
        Self {
            offset: at,
            bytes: self.bytes.slice(skipped.min(self.bytes.len())..),
            event: Arc::default(),
        }
    }

    /// The piece as a Server-Sent Event.
    pub(super) fn event(&self, attempt: u32) -> Bytes {
        let event = self.event.get_or_init(|| {
            let data = LogEvent {
                attempt,
                offset: self.offset,
                text: &String::from_utf8_lossy(&self.bytes),
            };
            streams::event("log", Some(&self.end().to_string()), &data)
        });
        event.clone()
    }
}

/// How many of the bytes are not the beginning of a character whose rest is missing.
fn whole_characters(bytes: &[u8]) -> usize {
    for at in (bytes.len().saturating_sub(3)..bytes.len()).rev() {
        // An error without a length is an unexpected end.
        if std::str::from_utf8(&bytes[at..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        {
            return at;
        }
    }
    bytes.len()
}

/// The window, and what is known of the log.
#[derive(Debug, Default)]
pub(super) struct Tail {
    segments: VecDeque<Segment>,
    kept: usize,
    /// Where the window ends.
    pub(super) end: u64,
    /// What was seen last; `None` before the first look.
    pub(super) seen: Option<LogState>,
    /// Set when nothing more comes.
    pub(super) over: bool,
}

/// What a follower at some byte finds.
pub(super) enum Found {
    /// Go on with this.
    Piece(Segment),
    /// The window begins later.
    Behind,
    /// There is nothing more yet.
    UpToDate,
}

impl Tail {
    pub(super) fn push(&mut self, segment: Segment) {
        self.end = segment.end();
        if segment.bytes.is_empty() {
            return;
        }
        self.kept += segment.bytes.len();
        self.segments.push_back(segment);
        while self.kept > WINDOW {
            let Some(oldest) = self.segments.pop_front() else {
                return;
            };
            self.kept -= oldest.bytes.len();
        }
    }

    pub(super) fn find(&self, at: u64) -> Found {
        if at >= self.end {
            return Found::UpToDate;
        }
        let after = self.segments.partition_point(|segment| segment.offset <= at);
        match after.checked_sub(1) {
            Some(index) => Found::Piece(self.segments[index].from(at)),
            None => Found::Behind,
        }
    }

    /// Where the window is to begin in a log of so many bytes.
    pub(super) fn begin(total: u64) -> u64 {
        total.saturating_sub(WINDOW as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_never_ends_within_a_character() {
        let text = "aé☃😀".as_bytes();
        for cut in 0..=text.len() {
            let segment = Segment::new(0, text[..cut].to_vec(), true);
            let whole = std::str::from_utf8(&segment.bytes).expect("only whole characters");
            assert!(cut - whole.len() <= 3, "{cut}");
        }
        for broken in [&b"ab\xff"[..], b"\x80\x80\x80\x80", b"a\xe2\x28"] {
            assert_eq!(Segment::new(0, broken.to_vec(), true).bytes, broken);
        }
        assert_eq!(Segment::new(0, b"a\xe2\x98".to_vec(), true).bytes, "a");
        assert_eq!(
            Segment::new(0, b"a\xe2\x98".to_vec(), false).bytes,
            b"a\xe2\x98".as_slice()
        );
    }

    #[test]
    fn a_follower_goes_on_at_any_byte_of_the_window() {
        let mut tail = Tail::default();
        tail.push(Segment::new(10, b"abc".to_vec(), true));
        tail.push(Segment::new(13, b"".to_vec(), true));
        tail.push(Segment::new(13, b"defg".to_vec(), true));
        assert!(matches!(tail.find(9), Found::Behind));
        for (at, text) in [(10, "abc"), (12, "c"), (13, "defg"), (16, "g")] {
            let Found::Piece(piece) = tail.find(at) else {
                panic!("{at} is in the window")
            };
            assert_eq!((piece.offset, &piece.bytes[..]), (at, text.as_bytes()));
        }
        assert!(matches!(tail.find(17), Found::UpToDate));
        assert!(matches!(tail.find(99), Found::UpToDate));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut tail = Tail::default();
        for n in 0..100 {
            tail.push(Segment::new(n * 10_000, vec![b'x'; 10_000], true));
        }
        assert!(tail.kept <= WINDOW && tail.segments.len() <= WINDOW / 10_000);
        assert!(matches!(tail.find(0), Found::Behind));
    }

    #[test]
    fn a_piece_is_an_event_whatever_it_holds() {
        let segment = Segment::new(5, b"<script>\x1b[31m\xff\n\0".to_vec(), true);
        let event = segment.event(2);
        assert_eq!(
            event,
            "event: log\nid: 21\ndata: {\"attempt\":2,\"offset\":5,\"text\":\"<script>\\u001b[31m\u{fffd}\\n\\u0000\"}\n\n"
        );
    }
}
