//! Problems (RFC 9457): what every answer that reports an error looks like.

use std::{error::Error, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::quota::QuotaBody;

/// What went wrong, for programs. Stable names: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not one that HTTP knows what to do with.
    BadRequest,
    /// The body is not JSON.
    MalformedJson,
    /// The credentials are missing or do not open this.
    Unauthorized,
    /// The token does not allow this in its project: `detail` names the scope that it lacks.
    Forbidden,
    /// There is nothing here.
    NotFound,
    /// There is something here, but not for this method: see `Allow`.
    MethodNotAllowed,
    /// The request's body came too slowly.
    RequestTimeout,
    /// There is a project of this name already.
    ProjectExists,
    /// The project has builds that have not ended.
    ProjectBusy,
    /// It was changed since it was read: read it again.
    PreconditionFailed,
    /// `If-Match` must say which version is to be replaced.
    PreconditionRequired,
    /// The build has ended, so that it can no longer be cancelled.
    BuildEnded,
    /// The context that the build was made from has been removed, so that it cannot be built again.
    ContextGone,
    /// The log has been removed, after its time.
    LogRemoved,
    /// The endpoint is disabled, so that nothing is sent to it.
    EndpointDisabled,
    /// The trigger is off, so that nothing is built of it.
    TriggerDisabled,
    /// Nothing was kept of the delivery that could be looked at again.
    NotReplayable,
    /// Secrets cannot be stored: the operator has set no key that they would be sealed with.
    SecretKeyMissing,
    /// The body is larger than is taken here.
    BodyTooLarge,
    /// The body is of a kind that is not taken here.
    UnsupportedMediaType,
    /// A field, parameter or header has a value that cannot be taken: see `errors`.
    ValidationFailed,
    /// The uploaded context is no archive that a build could use.
    ContextInvalid,
    /// The idempotency key was used before, for another request.
    IdempotencyKeyReused,
    /// The project has as many builds as it may have: see `quota`.
    QuotaExceeded,
    /// The client asks more often than one may: see `Retry-After`.
    RateLimited,
    /// A fault of the service's own; its log has the rest, under the request's id.
    Internal,
    /// More is asked of the service than it takes at once.
    Overloaded,
    /// The database does not answer.
    DatabaseUnavailable,
    /// The storage of uploaded contexts and old logs does not answer.
    StorageUnavailable,
    /// The service did not come to an answer in time.
    TimedOut,
}

impl Code {
    /// The status that goes with it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ProjectExists
            | Self::ProjectBusy
            | Self::BuildEnded
            | Self::ContextGone
            | Self::EndpointDisabled
            | Self::TriggerDisabled
            | Self::NotReplayable => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::LogRemoved => StatusCode::GONE,
            Self::SecretKeyMissing => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ValidationFailed | Self::ContextInvalid | Self::IdempotencyKeyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::DatabaseUnavailable | Self::StorageUnavailable | Self::TimedOut => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MalformedJson => "malformed_json",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::ProjectExists => "project_exists",
            Self::ProjectBusy => "project_busy",
            Self::PreconditionFailed => "precondition_failed",
            Self::PreconditionRequired => "precondition_required",
            Self::BuildEnded => "build_ended",
            Self::ContextGone => "context_gone",
            Self::LogRemoved => "log_removed",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::TriggerDisabled => "trigger_disabled",
            Self::NotReplayable => "not_replayable",
            Self::SecretKeyMissing => "secret_key_missing",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::ValidationFailed => "validation_failed",
            Self::ContextInvalid => "context_invalid",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::QuotaExceeded => "quota_exceeded",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::StorageUnavailable => "storage_unavailable",
            Self::TimedOut => "timed_out",
        }
    }

    /// The same for people, whatever the occurrence.
    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood",
            Self::MalformedJson => "The body is not valid JSON",
            Self::Unauthorized => "Valid credentials are needed",
            Self::Forbidden => "The token does not allow this",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::RequestTimeout => "The request came too slowly",
            Self::ProjectExists => "The project exists",
            Self::ProjectBusy => "The project has unfinished builds",
            Self::PreconditionFailed => "It was changed meanwhile",
            Self::PreconditionRequired => "If-Match is missing",
            Self::BuildEnded => "The build has ended",
            Self::ContextGone => "The build's context is gone",
            Self::LogRemoved => "The log is gone",
            Self::EndpointDisabled => "The endpoint is disabled",
            Self::TriggerDisabled => "The trigger is off",
            Self::NotReplayable => "The delivery cannot be replayed",
            Self::SecretKeyMissing => "Secrets cannot be stored",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The kind of body is not supported",
            Self::ValidationFailed => "The request is not valid",
            Self::ContextInvalid => "The context is not valid",
            Self::IdempotencyKeyReused => "The idempotency key was used for another request",
            Self::QuotaExceeded => "The project has as many builds as it may have",
            Self::RateLimited => "Too many requests",
            Self::Internal => "The service failed",
            Self::Overloaded => "The service is busy",
            Self::DatabaseUnavailable => "The database is unavailable",
            Self::StorageUnavailable => "The storage of contexts and logs is unavailable",
            Self::TimedOut => "The service took too long",
        }
    }

    /// Seconds after which another try makes sense, where one does.
    const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Overloaded | Self::RateLimited => Some("1"),
            Self::DatabaseUnavailable | Self::StorageUnavailable | Self::TimedOut => Some("5"),
            _ => None,
        }
    }

    /// What a bare status amounts to, for answers that other parts of the server made.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationFailed,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_server_error() => Self::Internal,
            _ => Self::BadRequest,
        }
    }
}

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
