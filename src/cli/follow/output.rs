//! Writes a build's log to the terminal, a pipe or a file.

use std::io;

use serde_json::json;

use super::Status;
use crate::{
    cli::screen::{Filter, Screen, plain},
    client::LogItem,
};

/// Length in bytes above which an unfinished line is written without its end.
const LONGEST_LINE: usize = 16 * 1024;

/// Writes a log: filtered for a terminal, byte by byte elsewhere.
pub(in crate::cli) struct LogOutput {
    /// True if the log goes to standard error because standard output holds the result.
    beside: bool,
    json: bool,
    filter: Option<Filter>,
    /// Beginning of a line that is kept back while the status line is on the screen.
    line: String,
    /// True if the filter has passed a part of the log since [`end`](Self::end).
    wrote: bool,
    /// First bytes of a character whose other bytes have not arrived; for JSON only.
    begun: Vec<u8>,
    attempt: u32,
    /// Offset of the byte after the latest piece.
    next: u64,
}

impl LogOutput {
    pub(in crate::cli) fn new(screen: &Screen, beside: bool) -> Self {
        let terminal = if beside {
            screen.err_is_terminal()
        } else {
            screen.out_is_terminal()
        };
        Self {
            beside,
            json: false,
            filter: terminal.then(Filter::default),
            line: String::new(),
            wrote: false,
            begun: Vec::new(),
            attempt: 0,
            next: 0,
        }
    }

    /// Selects JSON output: one object for each piece, with the fields of the API's events.
    pub(in crate::cli) fn in_json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    pub(in crate::cli) fn take(
        &mut self,
        screen: &mut Screen,
        status: &Status,
        item: LogItem,
    ) -> io::Result<()> {
        match item {
            LogItem::Attempt(number) => self.begin(screen, status, number),
            LogItem::Piece {
                attempt,
                offset,
                bytes,
            } => self.piece(screen, status, attempt, offset, &bytes),
            LogItem::Lost(why) => {
                status.aside(|| screen.note(&format!("the service is gone; trying again ({})", plain(&why))));
                Ok(())
            }
            LogItem::Resumed => {
                status.aside(|| screen.note("the service is back"));
                Ok(())
            }
        }
    }

    /// Begins an attempt, and announces it unless it is the first.
    fn begin(&mut self, screen: &mut Screen, status: &Status, attempt: u32) -> io::Result<()> {
        let later = self.attempt != 0 && self.attempt != attempt;
        status.aside(|| self.end(screen))?;
        self.attempt = attempt;
        if later && !self.json {
            status.aside(|| screen.note(&format!("[slipway: attempt {attempt}]")));
        }
        Ok(())
    }

    /// Writes a piece of the log.
    pub(in crate::cli) fn piece(
        &mut self,
        screen: &mut Screen,
        status: &Status,
        attempt: u32,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.attempt = attempt;
        self.next = offset + bytes.len() as u64;
        if self.json {
            return self.object(screen, attempt, offset, bytes);
        }
        let Some(filter) = &mut self.filter else {
            return status.aside(|| screen.raw(bytes, self.beside));
        };
        self.wrote = true;
        self.line.push_str(&filter.pass(bytes));
        let whole = match self.line.rfind('\n') {
            _ if !status.is_drawn() || self.line.len() > LONGEST_LINE => self.line.len(),
            Some(end) => end + 1,
            None => return Ok(()),
        };
        let rest = self.line.split_off(whole);
        let shown = std::mem::replace(&mut self.line, rest);
        status.aside(|| screen.shown(&shown, self.beside))
    }

    /// Writes a piece as a JSON object, and keeps back a character that the piece ends in the middle of.
    fn object(&mut self, screen: &mut Screen, attempt: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = offset - self.begun.len() as u64;
        self.begun.extend_from_slice(bytes);
        let rest = self.begun.split_off(self.begun.len() - unfinished(&self.begun));
        let whole = std::mem::replace(&mut self.begun, rest);
        if whole.is_empty() {
            return Ok(());
        }
        write_object(screen, attempt, offset, &whole)
    }

    /// Writes the rest of an unfinished line, and resets the colours of a terminal.
    pub(in crate::cli) fn end(&mut self, screen: &mut Screen) -> io::Result<()> {
        if !self.begun.is_empty() {
            let rest = std::mem::take(&mut self.begun);
            write_object(screen, self.attempt, self.next - rest.len() as u64, &rest)?;
        }
        if !std::mem::take(&mut self.wrote) {
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.line);
        if !rest.is_empty() {
            rest.push('\n');
        }
        screen.shown(&(rest + "\x1b[0m"), self.beside)
    }
}

fn write_object(screen: &mut Screen, attempt: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(bytes);
    screen.result(&json!({"attempt": attempt, "offset": offset, "text": text}).to_string())
}

/// Returns the number of bytes at the end that begin an unfinished character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    let begun = (0..last.len()).map(|at| &last[at..]).find(|end| {
        std::str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    });
    begun.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::unfinished;

    #[test]
    fn a_character_that_has_only_begun_is_seen() {
        let text = "aé☃😀".as_bytes();
        let begun: Vec<usize> = (0..=text.len()).map(|cut| unfinished(&text[..cut])).collect();
        assert_eq!(begun, [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
        for broken in [&b"\xff"[..], b"\x80\x80", b"\xe2\x28"] {
            assert_eq!(unfinished(broken), 0, "{broken:?}");
        }
    }
}
