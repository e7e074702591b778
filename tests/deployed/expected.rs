//! What must come of a build.

use std::{fmt, ops::Range};

use serde_json::Value;

/// How a build ended, for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    state: String,
    reason: Option<String>,
    class: Option<String>,
    exit_code: Option<i64>,
    attempts: usize,
    retries: u64,
}

impl Verdict {
    /// As the API tells it.
    pub fn of(build: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let failure = &build["failure"];
        Self {
            state: text(&build["state"]).unwrap_or_default(),
            reason: text(&failure["reason"]),
            class: text(&failure["class"]),
            exit_code: failure["exit_code"].as_i64(),
            attempts: build["attempts"].as_array().map_or(0, Vec::len),
            retries: build["retries"].as_u64().unwrap_or_default(),
        }
    }

    pub fn retries(&self) -> u64 {
        self.retries
    }

    pub fn attempts(&self) -> usize {
        self.attempts
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        if let (Some(reason), Some(class)) = (&self.reason, &self.class) {
            write!(f, " {reason} ({class})")?;
        }
        if let Some(code) = self.exit_code {
            write!(f, ", exit {code}")?;
        }
        write!(f, ", {} attempts, {} retries", self.attempts, self.retries)
    }
}

/// What must come of a build.
#[derive(Debug, Clone)]
pub struct Expected {
    pub verdict: Verdict,
    any_exit: bool,
    /// Words of the failure's message.
    pub says: Vec<String>,
    /// Words of the last attempt's log.
    pub logs: Vec<String>,
    /// Seconds from its creation to its end.
    pub seconds: Range<f64>,
    /// Pods that are there afterwards, if not one for each attempt.
    pub pods: Option<usize>,
    /// Whether the Job is there afterwards.
    pub job: bool,
}

impl Expected {
    fn new(state: &str, reason: Option<(&str, &str)>) -> Self {
        Self {
            verdict: Verdict {
                state: state.to_owned(),
                reason: reason.map(|(reason, _)| reason.to_owned()),
                class: reason.map(|(_, class)| class.to_owned()),
                exit_code: None,
                attempts: 1,
                retries: 0,
            },
            any_exit: false,
            says: Vec::new(),
            logs: Vec::new(),
            seconds: 0.0..150.0,
            pods: None,
            job: true,
        }
    }

    /// A verdict without what is left open.
    pub fn compared(&self, seen: Verdict) -> Verdict {
        Verdict {
            exit_code: seen.exit_code.filter(|_| !self.any_exit),
            ..seen
        }
    }

    /// Ended from outside: with whichever code it had the time for.
    pub fn any_exit(mut self) -> Self {
        self.any_exit = true;
        self.exit(None)
    }

    pub fn exit(mut self, code: impl Into<Option<i64>>) -> Self {
        self.verdict.exit_code = code.into();
        self
    }

    /// So many attempts, all of which failed unless the build succeeded at last.
    pub fn attempts(mut self, attempts: usize) -> Self {
        let good = usize::from(self.verdict.state == "succeeded");
        self.verdict.attempts = attempts;
        self.verdict.retries = u64::try_from(attempts - good).expect("a small number");
        self
    }

    /// Attempts of which so many are counted as failed.
    pub fn counted(mut self, retries: u64) -> Self {
        self.verdict.retries = retries;
        self
    }

    pub fn says(mut self, words: impl Into<String>) -> Self {
        self.says.push(words.into());
        self
    }

    pub fn logs(mut self, words: impl Into<String>) -> Self {
        self.logs.push(words.into());
        self
    }

    pub fn within(mut self, seconds: Range<f64>) -> Self {
        self.seconds = seconds;
        self
    }

    pub fn pods(mut self, pods: usize) -> Self {
        self.pods = Some(pods);
        self
    }

    pub fn without_job(mut self) -> Self {
        self.job = false;
        self
    }

    /// No pod ever came about.
    pub fn without_pod(mut self) -> Self {
        self.verdict.attempts = 0;
        self
    }
}

/// One attempt, and the image is in the registry.
pub fn succeeded() -> Expected {
    Expected::new("succeeded", None)
}

/// One attempt, which kaniko ended by itself, and no other.
pub fn failed(reason: &str, class: &str) -> Expected {
    let mut expected = Expected::new("failed", Some((reason, class))).exit(1);
    expected.verdict.retries = 1;
    expected
}

/// How long a build may wait for its container where that is tried. More than a kubelet pauses after a first try that
/// came too early: it may ask for a claim before the API server knows that the pod is on its node.
pub const PENDING_DEADLINE: &str = "20s";

/// A container never started: failed at the pending deadline, for the cluster's reason, and taken away.
pub fn waited(reason: &str, words: &str) -> Expected {
    Expected::new("failed", Some((reason, "operator")))
        .says("No container started within")
        .says(words)
        .within(20.0..60.0)
        .without_job()
        .pods(0)
}
