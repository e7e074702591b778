//! Removes terminal control sequences from a text.

/// Returns the text without escape sequences and control characters. Tabs become spaces; newlines stay.
pub(super) fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\n' => plain.push('\n'),
            '\t' => plain.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Returns true for characters that change the display of the rest of a line: bidirectional overrides and
/// isolates, and the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        Some(' '..='~') => {
            // Intermediate bytes, then one final byte.
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
        _ => {}
    }
}

/// Skips parameters, then one final byte. Stops at any character that cannot belong to the sequence, so that
/// no text is lost.
fn skip_csi(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Skips a string for the terminal, which ends with BEL or ESC `\` on the same line. A string that is never
/// closed stays as text, so that it does not hide what follows it.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut ahead = chars.clone();
    while let Some(c) = ahead.next() {
        let closed = match c {
            '\x07' | '\u{9c}' => true,
            '\x1b' => ahead.next() == Some('\\'),
            '\n' => false,
            _ => continue,
        };
        if closed {
            *chars = ahead;
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn escapes_and_control_characters_go_and_text_stays() {
        for (text, plain) in [
            ("\x1b[36mINFO\x1b[0m[0000] hi", "INFO[0000] hi"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bx\x1b=y", "xy"),
            ("a\x00b\x08c\rd\te", "abcd e"),
            ("\x1b[31", ""),
            ("\x1b]never closed\nnext", "never closed\nnext"),
            ("\x1b]0;one\x1b[1mtwo", "0;onetwo"),
            ("\u{202e}gpj\u{feff}", "gpj"),
            ("grüße ☃", "grüße ☃"),
            ("\x1b[3☃", "☃"),
            ("\x1b", ""),
        ] {
            assert_eq!(strip(text), plain, "{text:?}");
        }
    }
}
