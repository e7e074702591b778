//! One group's measurements, as they are made.

use std::time::Instant;

use anyhow::Result;

use super::{
    machine::{self, Machine},
    postgres,
    report::{Curve, Figure, Group},
};

/// Collects what is measured, and says how far it is.
pub struct Run {
    /// Smaller sizes and fewer rounds.
    pub quick: bool,
    /// How often each pair is measured, one after the other.
    pub rounds: usize,
    /// How long one measurement of a rate takes, in seconds.
    pub seconds: u32,
    name: &'static str,
    began: Instant,
    group: Group,
}

impl Run {
    /// Begins a group.
    pub fn begin(name: &'static str, quick: bool) -> Self {
        let now = machine::said("date", &["-u", "+%F %H:%M UTC"]);
        Self {
            quick,
            rounds: if quick { 2 } else { 5 },
            seconds: if quick { 2 } else { 3 },
            name,
            began: Instant::now(),
            group: Group {
                at: now,
                commit: machine::commit(),
                quick,
                machine: Machine::here(postgres::described()),
                figures: Vec::new(),
                curves: Vec::new(),
                not_run: Vec::new(),
            },
        }
    }

    /// Says what is being measured.
    pub fn says(&self, what: &str) {
        eprintln!("[{:>4}s] {}: {what}", self.began.elapsed().as_secs(), self.name);
    }

    /// One more figure.
    pub fn figure(&mut self, figure: Figure) {
        self.group.figures.push(figure);
    }

    /// One more plot.
    pub fn curve(&mut self, curve: Curve) {
        self.group.curves.push(curve);
    }

    /// Something could not be measured.
    pub fn not_run(&mut self, what: impl Into<String>) {
        self.group.not_run.push(what.into());
    }

    /// What it all came to.
    pub fn end(self) -> Result<Group> {
        self.says("done");
        Ok(self.group)
    }
}
