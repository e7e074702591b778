//! Tests of the words of kaniko, registries and git hosts, and of their classification.

mod bases;
mod pushes;
mod sources;
mod steps;

use super::{classify, verdict::Verdict};

fn verdict(log: &str, exit_code: Option<i32>) -> Option<Verdict> {
    classify(log.as_bytes(), exit_code)
}

fn reason(log: &str, exit_code: i32) -> Option<&'static str> {
    verdict(log, Some(exit_code)).map(|verdict| verdict.reason.as_str())
}

fn check(prefix: &str, cases: &[(&str, &str)]) {
    for (words, expected) in cases {
        let log = format!("INFO[0000] Retrieving image manifest x\n{prefix}{words}\n");
        assert_eq!(reason(&log, 1), Some(*expected), "{log}");
    }
}

fn check_early(prefix: &str, cases: &[(&str, &str)]) {
    for (words, expected) in cases {
        let log = format!("INFO[0000] hello\nError: {prefix}{words}\nUsage:\n  executor [flags]\n");
        assert_eq!(reason(&log, 1), Some(*expected), "{log}");
    }
}
