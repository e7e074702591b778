//! How far kaniko has come, told from its log as it is written.

use super::{
    line::{self, Line},
    snippet::clip,
};
use crate::domain::Phase;

/// Steps of one log that are told one by one: no Dockerfile has more, and a `RUN` may print any number of lines that look
/// like kaniko's.
const MOST_STEPS: u32 = 500;

/// A longer line is cut: no line of kaniko's that matters comes near it, and a `RUN` may print one without an end.
const LONGEST_LINE: usize = 16 * 1024;

const INSTRUCTIONS: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
    "MAINTAINER",
];

/// Follows a log, in pieces that may be cut anywhere.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    partial: Vec<u8>,
    reader: Reader,
}

/// An instruction of the Dockerfile that kaniko executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Counted from 1 over all stages.
    pub number: u32,
    /// The instruction, such as `RUN make`, at most 300 characters of it.
    pub instruction: String,
}

impl Progress {
    /// Reads the next piece of the log.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut pieces = piece.split(|b| matches!(b, b'\n' | b'\r')).peekable();
        while let Some(part) = pieces.next() {
            let room = LONGEST_LINE.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(part.get(..room).unwrap_or(part));
            if pieces.peek().is_some() {
                self.end_line();
            }
        }
    }

    /// The phase that kaniko has reached; `Fetching` until its log says more.
    pub fn phase(&self) -> Phase {
        self.reader.phase.unwrap_or(Phase::Fetching)
    }

    /// The steps that have begun since this was last asked, in their order.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.reader.begun)
    }

    /// What it executes, or has executed last.
    pub fn step(&self) -> Option<&Step> {
        self.reader.step.as_ref()
    }

    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let line = line::read(&self.partial);
            self.partial.clear();
            self.reader.read(&line);
        }
    }
}

/// What the lines so far amount to.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    phase: Option<Phase>,
    /// The instruction that was announced last.
    pub(super) step: Option<Step>,
    /// Those that nobody has taken yet.
    begun: Vec<Step>,
    /// Whether the process of a `RUN` was started, and nothing shows that it has ended.
    pub(super) running: bool,
    /// Whether anything was built: whatever kaniko says before it executes the Dockerfile is out of the question.
    pub(super) built: bool,
    /// Where a cached layer is pushed: kaniko announces that push as it does the image's.
    cache: Option<String>,
}

impl Reader {
    pub(super) fn read(&mut self, line: &Line) {
        let Line::Logged { message, .. } = line else {
            return;
        };
        if let Some(cache) = cached_layer(message) {
            self.cache = Some(cache.to_owned());
        } else if let Some(image) = message.strip_prefix("Pushing image to ") {
            if self.cache.as_deref() != Some(image) {
                self.reach(Phase::Pushing);
                self.running = false;
            }
        } else if message.starts_with("Running: [") {
            self.running = true;
            self.built = true;
        } else if let Some(instruction) = instruction(message) {
            self.begin(instruction);
        } else if ends_a_run(message) {
            self.running = false;
            self.reach(Phase::Building);
        } else if shows_building(message) {
            self.reach(Phase::Building);
        }
    }

    fn begin(&mut self, instruction: &str) {
        self.reach(Phase::Building);
        self.running = false;
        self.built = true;
        let step = Step {
            number: self.step.as_ref().map_or(1, |step| step.number.saturating_add(1)),
            // JSON may bring in what has no place in a line.
            instruction: clip(&instruction.replace(char::is_control, " "), 300),
        };
        if step.number <= MOST_STEPS {
            self.begun.push(step.clone());
        }
        self.step = Some(step);
    }

    fn reach(&mut self, phase: Phase) {
        self.phase = self.phase.max(Some(phase));
    }
}

/// The reference in `Pushing layer <reference> to cache now`.
fn cached_layer(message: &str) -> Option<&str> {
    message
        .strip_prefix("Pushing layer ")?
        .strip_suffix(" to cache now")
}

/// kaniko announces an instruction by its text alone.
fn instruction(message: &str) -> Option<&str> {
    let (word, rest) = message.split_once(' ')?;
    (INSTRUCTIONS.contains(&word) && !rest.is_empty()).then_some(message)
}

fn ends_a_run(message: &str) -> bool {
    [
        "Taking snapshot of ",
        "Building stage '",
        "Deleting filesystem",
        "Saving file ",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}

fn shows_building(message: &str) -> bool {
    [
        "Resolved base name of ",
        "Retrieving image manifest ",
        "Retrieving image ",
        "Built cross stage deps",
        "Using dockerignore file",
        "No base image",
        "Unpacking rootfs",
        "Initializing snapshotter",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}
