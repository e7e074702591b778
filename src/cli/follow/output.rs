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
    attempt: u32,
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
            attempt: 0,
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
        let later = std::mem::replace(&mut self.attempt, attempt) != 0;
        if later && !self.json {
            status.aside(|| self.end(screen))?;
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
        if self.json {
            let text = String::from_utf8_lossy(bytes);
            let object = json!({"attempt": attempt, "offset": offset, "text": text});
            return screen.result(&object.to_string());
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

    /// What is left of a line; colours end with the log.
    pub(in crate::cli) fn end(&mut self, screen: &mut Screen) -> io::Result<()> {
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
