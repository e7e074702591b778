//! Writes a command's output: results to standard output, everything else to standard error.

mod filter;
mod table;
mod time;

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;

pub(super) use self::{
    filter::{Filter, plain, plain_lines},
    table::{Cell, Table},
    time::{ago, between, seconds, span},
};

/// The two streams of a command.
pub(super) struct Screen {
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    quiet: bool,
}

impl Screen {
    pub(super) fn new(color: ColorChoice) -> Self {
        Self {
            out: AutoStream::new(io::stdout(), color),
            err: AutoStream::new(io::stderr(), color),
            quiet: false,
        }
    }

    /// Suppresses notes if `quiet` is true.
    pub(super) fn be_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns true if standard output is a terminal.
    pub(super) fn out_is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Returns true if standard error is a terminal.
    pub(super) fn err_is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Writes a result to standard output: lines of text, with colours where the stream supports them.
    pub(super) fn result(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    /// Writes bytes unchanged, to standard error if `beside` is true.
    pub(super) fn raw(&mut self, bytes: &[u8], beside: bool) -> io::Result<()> {
        if beside {
            return write(&mut io::stderr(), bytes);
        }
        write(&mut io::stdout(), bytes)
    }

    /// Writes filtered text with its colours, to standard error if `beside` is true.
    pub(super) fn shown(&mut self, text: &str, beside: bool) -> io::Result<()> {
        if beside {
            return write(&mut self.err, text.as_bytes());
        }
        write(&mut self.out, text.as_bytes())
    }

    /// Writes a note to standard error, unless quiet. A failure to write is ignored: the command can go on.
    pub(super) fn note(&mut self, text: &str) {
        if !self.quiet {
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Writes an error to standard error.
    pub(super) fn error(&mut self, sentence: &str) {
        let _ = writeln!(self.err, "{} {sentence}", "slipway:".red().bold());
    }
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
