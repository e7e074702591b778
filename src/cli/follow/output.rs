//! A log on its way to the reader.

use std::io;

use serde_json::json;

use super::Status;
use crate::{
    cli::screen::{Filter, Screen, plain},
    client::LogItem,
};

/// The longest line that waits for its end.
const LONGEST_LINE: usize = 16 * 1024;

/// Writes a log: for a terminal without what a terminal would act on, elsewhere byte by byte as it is.
pub(in crate::cli) struct LogOutput {
    /// Whether it goes to standard error, since standard output is for something else.
    beside: bool,
    json: bool,
    filter: Option<Filter>,
    /// The beginning of a line, while the status line is on the screen.
    line: String,
    /// Whether a terminal has seen something of it since it last ended.
    wrote: bool,
    /// For JSON: the beginning of a character whose rest is still to come.
    begun: Vec<u8>,
    attempt: u32,
    /// The byte after what came last.
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

    /// One JSON object for each piece, as the API's own events have them.
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

    /// Later attempts are announced: the first one is what everybody expects.
    fn begin(&mut self, screen: &mut Screen, status: &Status, attempt: u32) -> io::Result<()> {
        let later = self.attempt != 0 && self.attempt != attempt;
        status.aside(|| self.end(screen))?;
        self.attempt = attempt;
        if later && !self.json {
            status.aside(|| screen.note(&format!("[slipway: attempt {attempt}]")));
        }
        Ok(())
    }

    /// A stretch of the log.
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

    /// A piece as the API's own events have it: no character is divided between two.
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

    /// What is left of a line; colours end with the log.
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

/// How many bytes at the end are the beginning of a character.
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
