//! Classification of kaniko's final error.

use super::{
    dockerfile,
    line::{self, Line},
    progress::Reader,
    registry,
    snippet::message,
    source::{self, Fetch},
    step,
};
use crate::domain::Reason;

/// Number of bytes at the end of a log that are read: kaniko's usage text, the longest text that may follow
/// an error, has 10 KiB.
const LOOK_AT: usize = 1024 * 1024;

/// Cause of kaniko's failure, according to its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The reason.
    pub reason: Reason,
    /// Description of the cause, for people: at most 1,000 characters.
    pub message: String,
    /// Exit code of a `RUN`'s process, if that is the cause; it equals the container's exit code.
    pub exit_code: Option<i32>,
}

/// Classifies kaniko's failure by the end of its log, or by the whole log. `None` if the log contains no
/// cause: kaniko was killed, or the log is missing.
///
/// `exit_code` is the container's, if it is known. It classifies nothing by itself, because the author of a
/// `RUN` chooses it. But kaniko itself ends with 1 only, so any other code belongs to a step that kaniko
/// names.
///
/// Everything that a `RUN` prints is in the same log, and may look like kaniko's words. The following errors
/// count:
/// - an error before the build (`Error: …` with the usage text), only if nothing was executed;
/// - a final error after kaniko's last logged line, only if it fits the exit code and, while a `RUN`'s
///   process was running, only if it concerns the build. The last one counts, except that the words for a
///   failed `RUN` take precedence if a process was running: the `RUN`'s standard output may come after them.
pub fn classify(log: &[u8], exit_code: Option<i32>) -> Option<Verdict> {
    let log = log.get(log.len().saturating_sub(LOOK_AT)..).unwrap_or(log);
    let mut reading = Reading {
        exit_code,
        ..Reading::default()
    };
    for line in line::split(log) {
        reading.read(line::read(line));
    }
    reading.verdict()
}

/// Kind of a final error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PushCheck,
    Build,
    Push,
    /// Unexpected failure, or a wrong call.
    Other,
}

const BUILDING: &str = "error building image: ";
const FAILED_RUN: &str =
    "error building image: error building stage: failed to execute command: waiting for process to exit: ";

const FINAL: [(&str, Kind); 6] = [
    ("error checking push permissions: ", Kind::PushCheck),
    (BUILDING, Kind::Build),
    ("error pushing image: ", Kind::Push),
    ("error resolving relative paths to absolute paths: ", Kind::Other),
    ("error changing to root dir: ", Kind::Other),
    ("kaniko should only be run inside of a container", Kind::Other),
];

/// Line that may be kaniko's final error.
#[derive(Debug, Clone)]
struct Final {
    kind: Kind,
    /// Words after the prefix.
    words: String,
}

impl Final {
    /// Parses a line as a final error. The line begins with kaniko's prefix, except if a `RUN` printed text
    /// without a line end before it failed: then the words for the failed `RUN` end the line, after any other
    /// text.
    fn find(line: &str) -> Option<Self> {
        if let Some(at) = line.rfind(FAILED_RUN)
            && step::ending(&line[at..]).is_some()
        {
            return Some(Self {
                kind: Kind::Build,
                words: line[at + BUILDING.len()..].to_owned(),
            });
        }
        FINAL.iter().find_map(|(prefix, kind)| {
            Some(Self {
                kind: *kind,
                words: line.strip_prefix(prefix)?.to_owned(),
            })
        })
    }

    fn fits(&self, exit_code: Option<i32>, running: bool) -> bool {
        if running && self.kind != Kind::Build {
            return false;
        }
        match (exit_code, step::ending(&self.words)) {
            (None, _) | (Some(1), None) => true,
            (Some(code), Some(ending)) => ending.exit_code() == code,
            // The code of another program that kaniko runs, such as a credential helper.
            (Some(code), None) => self.words.contains(&format!("exit status {code}")),
        }
    }
}

/// State after the lines read so far.
#[derive(Debug, Default)]
struct Reading {
    exit_code: Option<i32>,
    progress: Reader,
    fetch: Fetch,
    /// The most credible final error since kaniko last logged a line.
    last: Option<Final>,
    /// An error from before the build, and `true` once the usage text has followed.
    early: Option<(String, bool)>,
    /// Last message of kaniko's logger, if it was fatal.
    fatal: Option<String>,
}

impl Reading {
    fn read(&mut self, line: Line) {
        self.progress.read(&line);
        match line {
            Line::Logged { fatal, message } => {
                match message.as_str() {
                    "Retrieving https tar file" => self.fetch.downloading = true,
                    "Retrieved https tar file" => self.fetch.downloaded = true,
                    _ => {}
                }
                self.last = None;
                self.fatal = fatal.then_some(message);
            }
            Line::Plain(text) => self.read_plain(&text),
        }
    }

    fn read_plain(&mut self, text: &str) {
        if !self.progress.built {
            if let Some(error) = text.strip_prefix("Error: ") {
                self.early = Some((error.to_owned(), false));
                return;
            }
            if text == "Usage:"
                && let Some((_, usage)) = &mut self.early
            {
                *usage = true;
            }
        }
        if let Some(found) = Final::find(text) {
            self.consider(found);
        }
    }

    fn consider(&mut self, found: Final) {
        let running = self.progress.running;
        let expected = !running || step::ending(&found.words).is_some();
        if found.fits(self.exit_code, running) && (expected || self.last.is_none()) {
            self.last = Some(found);
        }
    }

    fn verdict(self) -> Option<Verdict> {
        if let Some(last) = &self.last {
            return Some(self.of_final(last));
        }
        if !matches!(self.exit_code, None | Some(1)) {
            return None;
        }
        if let Some((error, true)) = &self.early
            && !self.progress.built
        {
            return Some(of_early(error, self.fetch));
        }
        self.fatal.map(|words| Verdict {
            reason: Reason::LaunchFailed,
            message: message(&format!("kaniko does not accept how it was called: {words}")),
            exit_code: None,
        })
    }

    fn of_final(&self, last: &Final) -> Verdict {
        let words = last.words.as_str();
        let reason = match last.kind {
            Kind::PushCheck | Kind::Push => registry::push(words),
            Kind::Build => step::reason(words),
            Kind::Other => Reason::Unknown,
        };
        let ending = step::ending(words);
        let text = match ending {
            Some(ending) => self.failed_step(ending),
            None => format!("{}: {words}", self.introduction(reason, last)),
        };
        Verdict {
            reason,
            message: message(&text),
            exit_code: ending.map(step::Ending::exit_code),
        }
    }

    fn failed_step(&self, ending: step::Ending) -> String {
        let how = match ending {
            step::Ending::Status(status) => format!("failed with exit status {status}"),
            step::Ending::Signal => "was ended by a signal".to_owned(),
        };
        match &self.progress.step {
            Some(step) => format!("The step `{}` {how}.", step.instruction),
            None => format!("A step of the Dockerfile {how}."),
        }
    }

    fn introduction(&self, reason: Reason, last: &Final) -> String {
        let words = last.words.as_str();
        match (reason, &self.progress.step) {
            // kaniko searches for the files before it announces the instruction.
            (Reason::BuildStepFailed, _) if words.contains(step::FILES) => {
                "A COPY or ADD step failed".to_owned()
            }
            (Reason::BuildStepFailed, Some(step)) => format!("The step `{}` failed", step.instruction),
            (Reason::BuildStepFailed, None) => "A step of the Dockerfile failed".to_owned(),
            (Reason::Unknown, _) if last.kind == Kind::Build => "kaniko could not build the image".to_owned(),
            (Reason::Unknown, _) => "kaniko failed".to_owned(),
            (reason, _) => in_words(reason).to_owned(),
        }
    }
}

/// Classifies an error from before the build, which stands above the usage text.
fn of_early(error: &str, fetch: Fetch) -> Verdict {
    let after = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| error.strip_prefix(prefix));
    let (reason, words) = if let Some(words) = after(&["error resolving source context: "]) {
        (source::reason(words, fetch), words)
    } else if let Some(words) = after(&["error resolving dockerfile path: "]) {
        (dockerfile::path(words), words)
    } else if let Some(words) = after(&["checking push permissions: ", "pushing image: "]) {
        // `executor push` writes these prefixes, and the usage text after every error.
        (registry::push(words), words)
    } else if let Some(words) = after(&["loading image: ", "path "]) {
        (Reason::Unknown, words)
    } else {
        (Reason::LaunchFailed, error)
    };
    let introduction = match reason {
        Reason::LaunchFailed => "kaniko does not accept how it was called",
        Reason::Unknown => "kaniko could not begin",
        reason => in_words(reason),
    };
    Verdict {
        reason,
        message: message(&format!("{introduction}: {words}")),
        exit_code: None,
    }
}

/// Returns the beginning of a sentence for each reason that kaniko's words can have.
fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::SourceAuthFailed => "The source did not accept the credentials, or needs some",
        Reason::SourceNotFound => "The source does not exist",
        Reason::RevisionNotFound => "The repository has no such branch, tag or commit",
        Reason::ContextInvalid => "The context cannot be used",
        Reason::SourceFetchFailed => "The source could not be fetched",
        Reason::DockerfileMissing => "The context has no Dockerfile at that path",
        Reason::DockerfileInvalid => "The Dockerfile is not valid",
        Reason::BaseImageNotFound => "A base image does not exist",
        Reason::BaseImageUnauthorized => {
            "The registry of a base image did not accept the credentials, or needs some"
        }
        Reason::BaseImageRateLimited => "The registry of a base image allows no more pulls for now",
        Reason::BaseImageUnavailable => "The registry of a base image could not be reached, or failed",
        Reason::DiskFull => "The disk is full",
        Reason::RegistryUnauthorized => "The registry did not accept the credentials, or needs some",
        Reason::PushDenied => "The registry does not allow this push",
        Reason::TagImmutable => "The tag exists, and the registry does not let it move",
        Reason::RegistryUnavailable => "The registry could not be reached, or failed",
        Reason::PushFailed => "The image could not be pushed",
        _ => "kaniko failed",
    }
}
