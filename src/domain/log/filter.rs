//! Filter from the bytes of a container's log to the stored ones.

use super::{Masker, masker::write};

/// Position up to which a container's log has been processed, with the state to continue from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceMark {
    /// Number of processed bytes of the container's log.
    pub bytes: u64,
    /// `true` if the next bytes are the rest of a line that was too long.
    pub cut: bool,
    /// `true` if the next line is inside a private key.
    pub key: bool,
}

/// Line-by-line filter of a log: masks secrets and cuts long lines. It holds back at most one line.
#[derive(Debug)]
pub struct Filter {
    masker: Masker,
    max_line: usize,
    mark: SourceMark,
    /// Bytes received so far of the line that begins at the mark.
    line: Vec<u8>,
}

impl Filter {
    /// Creates a filter that continues at a mark and cuts lines of more than `max_line` bytes.
    pub fn new(masker: Masker, max_line: usize, mark: SourceMark) -> Self {
        Self {
            masker,
            max_line,
            mark,
            line: Vec::new(),
        }
    }

    /// Returns the position in the container's log up to which the kept bytes reach.
    pub fn mark(&self) -> SourceMark {
        self.mark
    }

    /// Reads the next piece of the log, and appends to `kept` the filtered lines that end in it.
    pub fn feed(&mut self, mut piece: &[u8], kept: &mut Vec<u8>) {
        while !piece.is_empty() {
            // Progress bars end their lines with a carriage return.
            let end = memchr::memchr2(b'\n', b'\r', piece).map(|at| at + 1);
            if self.mark.cut {
                let (skipped, rest) = piece.split_at(end.unwrap_or(piece.len()));
                self.mark.bytes += skipped.len() as u64;
                self.mark.cut = end.is_none();
                piece = rest;
                continue;
            }
            // The line is read beyond the cut, so that a secret across the cut is found.
            let room = self.max_line + self.masker.reach() - self.line.len();
            let (taken, rest) = piece.split_at(end.unwrap_or(piece.len()).min(room));
            self.line.extend_from_slice(taken);
            piece = rest;
            if is_ended(&self.line) || taken.len() == room {
                self.keep_line(kept);
            }
        }
    }

    /// Appends the last line of the log, which has no line end, to `kept`.
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
            // Does not cut inside a UTF-8 character.
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
