//! Progress of kaniko, read from its log while it is written.

use super::{
    line::{self, Line},
    snippet::clip,
};
use crate::domain::Phase;

/// Upper bound of the steps reported of one log: no Dockerfile has more, and a `RUN` may print any number of
/// lines that look like kaniko's.
const MOST_STEPS: u32 = 500;

/// Length in bytes after which a line is cut: no relevant line of kaniko's is nearly as long, and a `RUN` may
/// print a line without an end.
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

/// Reader of a log that arrives in pieces, which may be cut anywhere.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    partial: Vec<u8>,
    reader: Reader,
}

/// Instruction of the Dockerfile that kaniko executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Counted from 1 over all stages.
    pub number: u32,
    /// The instruction, such as `RUN make`, cut after 300 characters.
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

    /// Returns the phase that kaniko has reached; `Fetching` until its log shows a later one.
    pub fn phase(&self) -> Phase {
        self.reader.phase.unwrap_or(Phase::Fetching)
    }

    /// Returns the steps that have begun since the last call, in their order.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.reader.begun)
    }

    /// Returns the current step, or the last one.
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

/// State after the lines read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    phase: Option<Phase>,
    /// The instruction that was announced last.
    pub(super) step: Option<Step>,
    /// Steps that [`Progress::take_steps`] has not returned yet.
    begun: Vec<Step>,
    /// `true` if the process of a `RUN` was started, and nothing shows that it has ended.
    pub(super) running: bool,
    /// `true` once an instruction was executed: errors from before the build are then excluded.
    pub(super) built: bool,
    /// Reference of the cached layer that kaniko pushes: it announces that push like the image's.
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
            // A JSON message may contain control characters.
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

/// Returns the reference in `Pushing layer <reference> to cache now`.
fn cached_layer(message: &str) -> Option<&str> {
    message
        .strip_prefix("Pushing layer ")?
        .strip_suffix(" to cache now")
}

/// Returns the instruction that a message announces: kaniko logs its text alone.
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
