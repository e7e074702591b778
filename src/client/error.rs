//! Defines the errors of requests to the service.

use std::{error::Error, time::Duration};

use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use url::Url;

/// Bytes of an error's body that are read, at most.
const MAX_PROBLEM: usize = 64 * 1024;

/// Reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer arrived, or the connection broke.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The service's address.
        server: Url,
        /// The cause, in the operating system's words.
        cause: String,
        /// `true` if no connection was made, so that no request was sent.
        connecting: bool,
    },
    /// The service answered with an error.
    #[error("{}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Problem(Box<Problem>),
    /// The answer comes from another program, or another version of the service.
    #[error("unexpected answer with status {status}: {detail}")]
    Foreign {
        /// The answer's status.
        status: u16,
        /// The unexpected part of the answer.
        detail: String,
    },
}

/// An answer that reports an error (RFC 9457).
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// The answer's status.
    pub status: u16,
    /// The kind of problem, in words.
    #[serde(default)]
    pub title: String,
    /// The cause in this case.
    pub detail: Option<String>,
    /// The kind of problem, for programs.
    pub code: String,
    /// The fields that were refused.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// The request's id in the service's log.
    pub request_id: Option<String>,
    /// Time to wait before another try, if the service names one.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// A field, parameter or header that was refused.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldError {
    /// Name or path of the field.
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

    /// Converts an answer that is no success.
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

    /// Returns the status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        let status = match self {
            Self::Unreachable { .. } => return None,
            Self::Problem(problem) => problem.status,
            Self::Foreign { status, .. } => *status,
        };
        StatusCode::from_u16(status).ok()
    }

    /// Returns true if the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self.status() {
            None => true,
            Some(status) => status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Returns true if the request should be repeated soon: the answer was lost, or the service is busy.
    pub fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Unreachable { connecting, .. } => !connecting,
            // A quota frees in minutes rather than seconds, so the user gets the error at once.
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

    /// Returns the time that the service asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after,
            _ => None,
        }
    }
}

/// Returns the innermost cause; the errors around it say only that a request failed, and its address.
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

/// Reads a body up to [`MAX_PROBLEM`].
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
