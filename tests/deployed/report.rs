//! What was seen, in a table: printed, and kept in `target/tmp/cluster-cases.txt` for whoever runs all cases.

use std::{
    fs::File,
    io::Write,
    sync::{Mutex, OnceLock},
};

/// One line of the table.
pub struct Row {
    pub case: String,
    pub expected: String,
    pub seen: String,
    pub seconds: f64,
    /// What is not as it must be.
    pub wrong: Vec<String>,
}

/// Notes rows, and fails if anything in them is wrong.
pub fn report(rows: &[Row]) {
    for row in rows {
        let seen = if row.expected == row.seen {
            "the same"
        } else {
            &row.seen
        };
        line(&format!(
            "{:<52} | {:<76} | {:<10} | {:>6.1} s",
            row.case, row.expected, seen, row.seconds
        ));
    }
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|row| row.wrong.iter().map(|wrong| format!("{}: {wrong}", row.case)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says that something was left out, past the capture of the test's output: what did not run must not look like what
/// passed.
pub fn not_run(case: &str, why: &str) {
    line(&format!("NOT RUN: {case}: {why}"));
    writeln!(std::io::stderr(), "NOT RUN: {case}: {why}").expect("stderr is writable");
}

fn line(line: &str) {
    static TABLE: OnceLock<Mutex<File>> = OnceLock::new();
    println!("{line}");
    let table = TABLE.get_or_init(|| {
        let file = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/cluster-cases.txt"));
        Mutex::new(file.expect("the table can be written"))
    });
    let mut table = table.lock().expect("nobody panics while writing");
    writeln!(table, "{line}").expect("the table can be written");
}
