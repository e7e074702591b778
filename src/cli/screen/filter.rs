//! Filters text that a container wrote, for a terminal.
//!
//! A log may contain any bytes: sequences that clear the screen, rename the window, answer for the user or
//! hide text. Colours pass; every other sequence that a terminal would act on is removed.

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

/// Filters a log piece by piece; a sequence may begin in one piece and end in the next.
#[derive(Default)]
pub(in crate::cli) struct Filter {
    parser: Parser<DefaultCharAccumulator>,
    carriage_return: bool,
}

impl Filter {
    /// Returns the piece without the sequences that a terminal would act on.
    pub(in crate::cli) fn pass(&mut self, piece: &[u8]) -> String {
        let mut shown = Shown(String::with_capacity(piece.len()));
        for byte in piece {
            // Text after a carriage return would overwrite the line, so a line break replaces the return.
            let returned = std::mem::replace(&mut self.carriage_return, *byte == b'\r');
            if returned && *byte != b'\n' {
                shown.0.push('\n');
            }
            if matches!(byte, b'\n' | b'\r') {
                // An unclosed sequence hides no more than its line.
                self.parser = Parser::default();
            }
            if *byte != b'\r' {
                self.parser.advance(&mut shown, *byte);
            }
        }
        shown.0
    }
}

/// Returns the text on one line, without colours and without anything that a terminal would act on.
pub(in crate::cli) fn plain(text: &str) -> String {
    let shown = Filter::default().pass(text.as_bytes());
    anstream::adapter::strip_str(&shown)
        .to_string()
        .replace(['\n', '\t'], " ")
}

/// Returns the lines of the text, each as [`plain`] returns it.
pub(in crate::cli) fn plain_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(plain)
}

struct Shown(String);

impl Perform for Shown {
    fn print(&mut self, c: char) {
        if !c.is_control() && !turns_text(c) {
            self.0.push(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\t') {
            self.0.push(char::from(byte));
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || ignore || !intermediates.is_empty() {
            return;
        }
        let params: Vec<String> = params
            .iter()
            .map(|values| values.iter().map(u16::to_string).collect::<Vec<_>>().join(":"))
            .collect();
        self.0.push_str(&format!("\x1b[{}m", params.join(";")));
    }
}

/// Returns true for characters that change the order in which the rest of a line is shown.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_nothing_else_that_a_terminal_acts_on() {
        for (given, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[1;38;5;200mx\x1b[m", "\x1b[1;38;5;200mx\x1b[0m"),
            ("\x1b[38:2::1:2:3mx", "\x1b[38:2:0:1:2:3mx"),
            ("a\x1b[2Jb\x1b[1;1Hc", "abc"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b]52;c;cGFzdGU=\x07x", "x"),
            ("\x1bP$q\"p\x1b\\x", "x"),
            ("\x1b[6n\x1bc\x1b[>4;2mx", "x"),
            ("\x1b]never closed\nnext\n", "\nnext\n"),
            ("10%\r20%\r\n", "10%\n20%\n"),
            ("a\x08\x07\x00b", "ab"),
            ("\u{9b}31mx", "31mx"),
            ("\u{202e}gpj", "gpj"),
            ("grüße ☃", "grüße ☃"),
        ] {
            assert_eq!(Filter::default().pass(given.as_bytes()), shown, "{given:?}");
        }
    }

    #[test]
    fn a_sequence_may_be_cut_anywhere() {
        let given = "a\x1b[31mé\x1b]0;t\x07\r\nb\x1b[2J☃".as_bytes();
        let whole = Filter::default().pass(given);
        for cut in 0..given.len() {
            let mut filter = Filter::default();
            let pieces = filter.pass(&given[..cut]) + &filter.pass(&given[cut..]);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }

    #[test]
    fn broken_characters_are_left_out() {
        assert_eq!(Filter::default().pass(b"a\xffb\xc3"), "ab");
    }

    #[test]
    fn a_plain_text_is_one_line_without_colours() {
        assert_eq!(plain("a\x1b[31mb\x1b[0m\nc\x1b]0;t\x07"), "ab c");
    }
}
