//! Draws tables.

use owo_colors::{OwoColorize, Style};
use unicode_width::UnicodeWidthStr;

use super::plain;

/// Rows of cells; each column is as wide as its widest cell.
pub(in crate::cli) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A text and its style.
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Creates a cell; sequences for a terminal are removed from the text.
    pub(in crate::cli) fn new(text: &str, style: Style) -> Self {
        Self {
            text: plain(text),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text.as_ref(), Style::new())
    }
}

impl Table {
    /// Creates a table with a header.
    pub(in crate::cli) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|name| Cell::new(name, Style::new().bold()));
        Self {
            rows: vec![head.collect()],
        }
    }

    /// Adds a row.
    pub(in crate::cli) fn add(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Returns the whole table with colours, each line indented by `indent`.
    pub(in crate::cli) fn draw(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut drawn = String::new();
        for row in &self.rows {
            drawn.push_str(indent);
            for (i, cell) in row.iter().enumerate() {
                drawn.push_str(&cell.text.style(cell.style).to_string());
                if i + 1 < row.len() {
                    let padding = widths[i] - cell.text.width() + 2;
                    drawn.extend(std::iter::repeat_n(' ', padding));
                }
            }
            // The last cells of a row may be empty.
            drawn.truncate(drawn.trim_end_matches(' ').len());
            drawn.push('\n');
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_on_a_terminal() {
        let mut table = Table::new(&["NAME", "STATE", "N"]);
        table.add(vec![
            "日本".into(),
            Cell::new("failed", Style::new().red()),
            "1".into(),
        ]);
        table.add(vec!["a\x1b[2Jbcdef".into(), "ok".into(), "22".into()]);
        let drawn = anstream::adapter::strip_str(&table.draw("  ")).to_string();
        assert_eq!(
            drawn,
            "  NAME    STATE   N\n  日本    failed  1\n  abcdef  ok      22\n"
        );
        assert!(table.draw("").contains("\x1b[31mfailed"), "colours are in it");
    }
}
