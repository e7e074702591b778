//! From the bytes of a container's log to those that are kept.

use super::{Masker, masker::write};

/// How far a container's log has been dealt with, and what must be known to go on there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceMark {
    /// Bytes of the container's log.
    pub bytes: u64,
    /// Whether the rest of a line follows whose beginning was too long.
    pub cut: bool,
    /// Whether the next line is within a private key.
    pub key: bool,
}

/// Keeps a log line by line: secrets masked, long lines cut. It holds back at most one line.
#[derive(Debug)]
pub struct Filter {
    masker: Masker,
    max_line: usize,
    mark: SourceMark,
    /// What has come of the line that begins at the mark.
    line: Vec<u8>,
}

impl Filter {
    /// Goes on at a mark; lines of more than `max_line` bytes are cut.
    pub fn new(masker: Masker, max_line: usize, mark: SourceMark) -> Self {
        Self {
            masker,
            max_line,
            mark,
            line: Vec::new(),
        }
    }

    /// Up to where the container's log is in what was kept.
    pub fn mark(&self) -> SourceMark {
        self.mark
    }

    /// Reads the next piece of the log, and adds to `kept` what is to be kept of the lines that it ends.
    pub fn feed(&mut self, mut piece: &[u8], kept: &mut Vec<u8>) {
        while !piece.is_empty() {
            // Progress bars end their lines by a carriage return.
            let end = memchr::memchr2(b'\n', b'\r', piece).map(|at| at + 1);
            if self.mark.cut {
                let (skipped, rest) = piece.split_at(end.unwrap_or(piece.len()));
                self.mark.bytes += skipped.len() as u64;
                self.mark.cut = end.is_none();
                piece = rest;
                continue;
            }
            // So much more is looked at that a secret across the cut is seen.
            let room = self.max_line + self.masker.reach() - self.line.len();
            let (taken, rest) = piece.split_at(end.unwrap_or(piece.len()).min(room));
            self.line.extend_from_slice(taken);
            piece = rest;
            if is_ended(&self.line) || taken.len() == room {
                self.keep_line(kept);
            }
        }
    }

    /// Adds what is to be kept of a line that the end of the log ends.
    pub fn finish(&mut self, kept: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.keep_line(kept);
        }
    }

    fn keep_line(&mut self, kept: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let secrets = self.masker.find(&line, &mut self.mark.key);
        let ended = is_ended(&line);
        if line.len() - usize::from(ended) <= self.max_line {
            write(&line, &secrets, line.len(), kept);
        } else {
            let mut upto = self.max_line;
            // Not within a character.
            while upto > 0 && self.max_line - upto < 3 && line[upto] & 0xc0 == 0x80 {
                upto -= 1;
            }
            write(&line, &secrets, upto, kept);
            let note = format!(
                " [slipway: the line is longer than {} bytes; the rest is not kept]\n",
                self.max_line
            );
            kept.extend_from_slice(note.as_bytes());
            self.mark.cut = !ended;
        }
        self.mark.bytes += line.len() as u64;
        self.line = line;
        self.line.clear();
    }
}

fn is_ended(line: &[u8]) -> bool {
    matches!(line.last(), Some(b'\n' | b'\r'))
}
