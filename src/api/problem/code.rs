//! The kinds of problems: their codes, the statuses that go with them, and their words.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

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
    pub(super) const fn title(self) -> &'static str {
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
    pub(super) const fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Overloaded | Self::RateLimited => Some("1"),
            Self::DatabaseUnavailable | Self::StorageUnavailable | Self::TimedOut => Some("5"),
            _ => None,
        }
    }

    /// What a bare status amounts to, for answers that other parts of the server made.
    pub(super) fn of_status(status: StatusCode) -> Self {
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
