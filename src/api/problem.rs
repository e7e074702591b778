//! Problems (RFC 9457): what every answer that reports an error looks like.

mod code;

use std::{error::Error, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::code::Code;
use super::quota::QuotaBody;

/// One field, parameter or header that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it is: a path such as `source.git.url` or `destinations[0]`, a query parameter's or a header's name;
    /// empty for the body as a whole.
    pub field: String,
    /// Half a sentence, fit to follow the field's name.
    pub reason: String,
}

impl FieldError {
    /// What is wrong with the field.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self {
            field: field.into(),
            reason: reason.to_string(),
        }
    }
}

/// The body of an answer that reports an error: `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Names the kind of problem: `urn:slipway:problem:` and the code.
    #[schema(value_type = String, format = "uri", example = "urn:slipway:problem:validation_failed")]
    r#type: String,
    /// The kind of problem in words.
    #[schema(value_type = String)]
    title: &'a str,
    /// The answer's status once more.
    status: u16,
    /// What went wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    detail: Option<&'a str>,
    /// What went wrong, for programs.
    code: Code,
    /// The fields, parameters or headers that were not taken.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<FieldError>, required = false)]
    errors: &'a [FieldError],
    /// The limit that was reached, where the code is `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<QuotaBody>, nullable = false)]
    quota: Option<&'a QuotaBody>,
    /// Names the request in the service's log.
    #[schema(value_type = String)]
    request_id: &'a str,
}

/// An error on its way to the client. The request's id is added where the answer leaves the service.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", code.as_str())]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    quota: Option<Box<QuotaBody>>,
    /// Seconds after which another try makes sense, where the code alone does not say it.
    retry_after: Option<u64>,
    /// For the log only, never for the client.
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem without particulars.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            errors: Vec::new(),
            quota: None,
            retry_after: None,
            cause: None,
        }
    }

    /// One field, parameter or header has a bad value.
    pub fn field(field: impl Into<String>, reason: impl ToString) -> Self {
        FieldError::new(field, reason).into()
    }

    /// Says what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the limit that was reached.
    #[must_use]
    pub(super) fn about_quota(mut self, quota: QuotaBody) -> Self {
        self.quota = Some(Box::new(quota));
        self
    }

    /// Says when another try makes sense, in seconds.
    #[must_use]
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Keeps what lies behind it, for the log.
    #[must_use]
    pub fn cause(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What lies behind it, with all that lies behind that: one line for the log.
    pub(super) fn chain(&self) -> Option<String> {
        let first = self.cause.as_deref()?;
        let mut line = first.to_string();
        let mut next = first.source();
        while let Some(cause) = next {
            line = format!("{line}: {cause}");
            next = cause.source();
        }
        Some(line)
    }

    /// The problem that an answer without one amounts to.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::new(Code::of_status(status))
    }

    /// The answer's body.
    pub(super) fn body(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            r#type: format!("urn:slipway:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.as_deref(),
            code: self.code,
            errors: &self.errors,
            quota: self.quota.as_deref(),
            request_id,
        };
        serde_json::to_vec(&body).expect("texts and numbers can be written as JSON")
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let detail = match error.field.as_str() {
            "" => format!("the body {}", error.reason),
            field => format!("{field} {}", error.reason),
        };
        Self {
            errors: vec![error],
            ..Self::new(Code::ValidationFailed).detail(detail)
        }
    }
}

impl IntoResponse for Problem {
    /// Leaves the body open: it names the request's id, which is known where the answer leaves the service.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        } else if let Some(seconds) = self.code.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
