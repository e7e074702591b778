//! What can go wrong between us and the service.

use std::{error::Error, time::Duration};

use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use url::Url;

/// The most that is read of an answer that reports an error.
const MAX_PROBLEM: usize = 64 * 1024;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered, or the connection broke.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// Where the service should be.
        server: Url,
        /// In the system's words.
        cause: String,
        /// Whether there was no connection at all, so that nothing was asked.
        connecting: bool,
    },
    /// The service says what is wrong.
    #[error("{}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Problem(Box<Problem>),
    /// What answers is not the service, or another version of it.
    #[error("unexpected answer with status {status}: {detail}")]
    Foreign {
        /// The answer's status.
        status: u16,
        /// What is unexpected about it.
        detail: String,
    },
}

/// An answer that reports an error (RFC 9457).
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// The answer's status.
    pub status: u16,
    /// The kind of problem in words.
    #[serde(default)]
    pub title: String,
    /// What went wrong this time.
    pub detail: Option<String>,
    /// What went wrong, for programs.
    pub code: String,
    /// The fields that were not taken.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// Names the request in the service's log.
    pub request_id: Option<String>,
    /// When another try makes sense, where the service says so.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// A field, parameter or header that was not taken.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldError {
    /// Where it is.
    pub field: String,
    /// Half a sentence that follows the field's name.
    pub reason: String,
}

impl ClientError {
    pub(super) fn unreachable(server: &Url, error: &reqwest::Error) -> Self {
        let cause = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            innermost(error)
        };
        Self::Unreachable {
            server: server.clone(),
            cause,
            connecting: error.is_connect(),
        }
    }

    /// What an answer that is no success amounts to.
    pub(super) async fn of_answer(response: Response) -> Self {
        let status = response.status();
        let retry_after = seconds(&response, header::RETRY_AFTER);
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|to| to.to_str().ok())
            .map(str::to_owned);
        let body = bounded(response).await;
        if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Self::Problem(Box::new(Problem {
                retry_after,
                ..problem
            }));
        }
        let detail = match (status.is_redirection(), location) {
            (true, Some(to)) => format!("it redirects to {to}"),
            _ => status
                .canonical_reason()
                .unwrap_or("no Slipway answers so")
                .to_owned(),
        };
        Self::Foreign {
            status: status.as_u16(),
            detail,
        }
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        let status = match self {
            Self::Unreachable { .. } => return None,
            Self::Problem(problem) => problem.status,
            Self::Foreign { status, .. } => *status,
        };
        StatusCode::from_u16(status).ok()
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self.status() {
            None => true,
            Some(status) => status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Whether the service asked for patience, or the answer was lost: another try is due, soon.
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Unreachable { connecting, .. } => !connecting,
            // A quota frees in minutes rather than seconds: whoever asked should know.
            Self::Problem(problem) if problem.code == "quota_exceeded" => false,
            _ => matches!(
                self.status(),
                Some(
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                )
            ),
        }
    }

    /// How long the service asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after,
            _ => None,
        }
    }
}

/// The error at the bottom: those above it say no more than that a request failed, and where to.
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

fn seconds(response: &Response, name: header::HeaderName) -> Option<Duration> {
    let text = response.headers().get(name)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// As much of a body as a problem can be long.
async fn bounded(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_PROBLEM {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) | Err(_) => break,
        }
    }
    body
}
