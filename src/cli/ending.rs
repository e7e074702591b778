//! Defines the ends of a command: exit codes and error messages.

use std::{fmt::Write, io, process::ExitCode};

use super::screen::span;
use crate::client::{ClientError, Problem};

/// End of a command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The command succeeded.
    Done,
    /// The build ended without an image, or no build was created.
    BuildFailed,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Reason why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The input is invalid.
    Input(String),
    /// The request to the service failed.
    Service(ClientError),
    /// An operation on this machine failed.
    Local(String),
    /// The error was printed already; only the exit code is left.
    Said(u8),
    /// The reader of the output closed it.
    Unread,
}

impl Ending {
    /// Returns the process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::BuildFailed => 1,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        ending.code().into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Service(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Local(format!("the output cannot be written: {error}")),
        }
    }
}

impl Failure {
    /// Returns the process's exit code: 2 if the request is invalid, 3 for other errors, 141 for a closed
    /// pipe.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Service(ClientError::Problem(problem)) => match problem.status {
                // The request itself is valid in these cases.
                401 | 403 | 408 | 429 => 3,
                400..500 => 2,
                _ => 3,
            },
            Self::Service(ClientError::Unreachable { .. } | ClientError::Foreign { .. }) => 3,
            Self::Local(_) => 3,
            Self::Said(code) => *code,
            // Exit code that a shell reports for a program that SIGPIPE ended.
            Self::Unread => 141,
        }
    }

    /// Returns the error and what to do about it, or `None` if it was printed or has no reader.
    pub(super) fn sentence(&self) -> Option<String> {
        match self {
            Self::Input(sentence) | Self::Local(sentence) => Some(sentence.clone()),
            Self::Service(error) => Some(of_service(error)),
            Self::Said(_) | Self::Unread => None,
        }
    }
}

fn of_service(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { server, cause, .. } => format!(
            "cannot reach {}: {cause}\nIs `slipway serve` running there? Another address is set by --server, \
             SLIPWAY_SERVER or the configuration file.",
            server.as_str().trim_end_matches('/')
        ),
        ClientError::Foreign { status, detail } => format!(
            "unexpected answer with status {status}: {detail}\nIs that address a Slipway of this version? \
             It is set by --server, SLIPWAY_SERVER or the configuration file."
        ),
        ClientError::Problem(problem) => of_problem(problem),
    }
}

fn of_problem(problem: &Problem) -> String {
    let what = match problem.code.as_str() {
        "not_found" => problem
            .detail
            .clone()
            .unwrap_or_else(|| "there is no such build or attempt".to_owned()),
        _ => problem.detail.clone().unwrap_or_else(|| problem.title.clone()),
    };
    let mut text = what.clone();
    for error in &problem.errors {
        let line = format!("{} {}", error.field, error.reason);
        if !what.contains(&line) && !what.contains(&error.reason) {
            let _ = write!(text, "\n  {line}");
        }
    }
    let id = problem.request_id.as_deref().unwrap_or("unknown");
    let _ = write!(text, "\n({}, request {id})", problem.code);
    if let ("quota_exceeded", Some(wait)) = (problem.code.as_str(), problem.retry_after) {
        let _ = write!(text, "\nTry again in {}.", span(wait));
    } else if let Some(hint) = hint(problem) {
        let _ = write!(text, "\n{hint}");
    }
    text
}

fn hint(problem: &Problem) -> Option<&'static str> {
    match problem.status {
        413 => Some("What the build does not need is left out by .dockerignore."),
        422 if problem.code == "context_invalid" => {
            Some("What the build does not need is left out by .dockerignore.")
        }
        401 => Some("A token is set by --token, SLIPWAY_TOKEN or the configuration file."),
        403 => Some("The token does not allow this: use another one, or another --project."),
        429 | 503 => Some("Try again in a little while."),
        500 => Some("The service's log says more, under that request."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{FieldError, base_url};

    fn problem(status: u16, code: &str, detail: Option<&str>) -> Problem {
        Problem {
            status,
            title: "A title".to_owned(),
            detail: detail.map(str::to_owned),
            code: code.to_owned(),
            errors: Vec::new(),
            request_id: Some("0199-r".to_owned()),
            retry_after: None,
        }
    }

    fn failure(problem: Problem) -> Failure {
        Failure::Service(ClientError::Problem(Box::new(problem)))
    }

    #[test]
    fn errors_are_sentences_that_say_what_to_do() {
        let refused = Problem {
            errors: vec![FieldError {
                field: "destinations[0]".to_owned(),
                reason: "must name its registry".to_owned(),
            }],
            ..problem(
                422,
                "validation_failed",
                Some("destinations[0] must name its registry"),
            )
        };
        let several = Problem {
            errors: vec![FieldError {
                field: "timeout_seconds".to_owned(),
                reason: "must be between 1 and 86400".to_owned(),
            }],
            ..problem(422, "validation_failed", None)
        };
        let all = [
            Failure::Service(ClientError::Unreachable {
                server: base_url("http://127.0.0.1:8080").expect("an address"),
                cause: "Connection refused (os error 111)".to_owned(),
                connecting: true,
            }),
            failure(refused),
            failure(several),
            failure(problem(404, "not_found", None)),
            failure(problem(401, "unauthorized", None)),
            failure(problem(
                413,
                "body_too_large",
                Some("at most 1024 bytes are taken here"),
            )),
            failure(Problem {
                retry_after: Some(std::time::Duration::from_secs(150)),
                ..problem(
                    429,
                    "quota_exceeded",
                    Some("project team has created 5 builds within an hour"),
                )
            }),
            failure(problem(500, "internal", None)),
            failure(problem(
                503,
                "overloaded",
                Some("too many contexts are being uploaded"),
            )),
            Failure::Service(ClientError::Foreign {
                status: 302,
                detail: "it redirects to https://ci.example.com/".to_owned(),
            }),
        ];
        let said: Vec<String> = all
            .iter()
            .map(|failure| {
                format!(
                    "exit {}: {}",
                    failure.code(),
                    failure.sentence().expect("it says something")
                )
            })
            .collect();
        insta::assert_snapshot!(said.join("\n\n"));
    }

    #[test]
    fn output_that_nobody_reads_is_no_error_to_speak_of() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.code(), failure.sentence()), (141, None));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.code(), 3);
    }
}
