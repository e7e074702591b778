//! Reasons of failures, their classes, and their retry policies.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Invalid;

/// Party that must act on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The Dockerfile, the source or the request is at fault.
    User,
    /// A part of the infrastructure failed; another try may succeed.
    Infrastructure,
    /// The operator of the service must correct something.
    Operator,
    /// The build exceeded a limit that was set on purpose.
    Policy,
}

impl Class {
    /// Returns the name used in JSON, in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Infrastructure => "infrastructure",
            Self::Operator => "operator",
            Self::Policy => "policy",
        }
    }
}

/// Retry policy of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Another try is pointless; the Job's retries are stopped.
    Never,
    /// Another try may succeed and counts against `max_retries`.
    Counted,
    /// The build did not cause the failure; another try does not count against `max_retries`.
    Free,
    /// Not a failure yet: the pod may start until the pending deadline.
    Waits,
}

macro_rules! reasons {
    ($( $(#[$meta:meta])* $variant:ident = $name:literal, $class:ident, $retry:ident; )*) => {
        /// Reason why a build failed or waits. Stable names: clients branch on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $( $(#[$meta])* $variant, )* }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// Returns the name used in JSON, in the database and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// Returns the class of the reason.
            pub const fn class(self) -> Class {
                match self { $( Self::$variant => Class::$class, )* }
            }

            /// Returns the retry policy of the reason.
            pub const fn retry(self) -> Retry {
                match self { $( Self::$variant => Retry::$retry, )* }
            }
        }
    };
}

reasons! {
    /// The source requires credentials, or refused the given ones.
    SourceAuthFailed = "source_auth_failed", User, Never;
    /// No such repository, bucket or file.
    SourceNotFound = "source_not_found", User, Never;
    /// The repository has no such branch, tag or commit.
    RevisionNotFound = "revision_not_found", User, Never;
    /// The context could not be unpacked, or breaks a limit.
    ContextInvalid = "context_invalid", User, Never;
    /// The network failed while the source was being fetched.
    SourceFetchFailed = "source_fetch_failed", Infrastructure, Counted;
    /// The context has no Dockerfile at that path.
    DockerfileMissing = "dockerfile_missing", User, Never;
    /// The Dockerfile cannot be parsed, or names a stage that it does not have.
    DockerfileInvalid = "dockerfile_invalid", User, Never;
    /// The base image does not exist.
    BaseImageNotFound = "base_image_not_found", User, Never;
    /// The base image needs credentials that the build does not have.
    BaseImageUnauthorized = "base_image_unauthorized", User, Never;
    /// The base image's registry answered 429.
    BaseImageRateLimited = "base_image_rate_limited", Infrastructure, Counted;
    /// The base image's registry could not be reached, or answered 5xx.
    BaseImageUnavailable = "base_image_unavailable", Infrastructure, Counted;
    /// A `RUN`, `COPY` or other step of the Dockerfile failed.
    BuildStepFailed = "build_step_failed", User, Never;
    /// The build used more memory than its limit.
    OutOfMemory = "out_of_memory", User, Never;
    /// The node or the build's volume is full.
    DiskFull = "disk_full", Infrastructure, Free;
    /// The node evicted the pod.
    Evicted = "evicted", Infrastructure, Free;
    /// The pod's node is gone.
    NodeLost = "node_lost", Infrastructure, Free;
    /// The executor's own image cannot be pulled.
    BuilderImageUnavailable = "builder_image_unavailable", Operator, Waits;
    /// No node has room for the pod, or none may run it.
    Unschedulable = "unschedulable", Operator, Waits;
    /// The namespace's quota or an admission policy refuses the pod.
    QuotaExceeded = "quota_exceeded", Operator, Waits;
    /// A Secret, claim, ServiceAccount or volume that the pod needs is missing.
    ConfigMissing = "config_missing", Operator, Waits;
    /// The destination's registry refused the credentials.
    RegistryUnauthorized = "registry_unauthorized", Operator, Never;
    /// The credentials are valid but may not push there.
    PushDenied = "push_denied", Operator, Never;
    /// The tag exists, and the registry refuses to overwrite it.
    TagImmutable = "tag_immutable", Operator, Never;
    /// The destination's registry could not be reached, or answered 5xx.
    RegistryUnavailable = "registry_unavailable", Infrastructure, Counted;
    /// The push was interrupted.
    PushFailed = "push_failed", Infrastructure, Counted;
    /// The build took longer than its timeout.
    TimedOut = "timed_out", Policy, Never;
    /// The Job disappeared repeatedly.
    JobLost = "job_lost", Infrastructure, Never;
    /// A Job that Slipway does not own has the build's name.
    NameConflict = "name_conflict", Infrastructure, Never;
    /// The API server refuses the Job, or a container cannot be started.
    LaunchFailed = "launch_failed", Infrastructure, Never;
    /// The cause is not recognized; see the log.
    Unknown = "unknown", Infrastructure, Counted;
}

impl Reason {
    /// Returns true if another attempt follows a failed one.
    pub const fn retryable(self) -> bool {
        matches!(self.retry(), Retry::Counted | Retry::Free)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| Invalid::new(format_args!("is no reason of a failure: {text:?}")))
    }
}

/// A failure as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Reason of the failure, for programs.
    pub reason: Reason,
    /// Description of the failure, for people: one or two sentences, at most 1,000 characters.
    pub message: String,
    /// The container's exit code, if it is known.
    pub exit_code: Option<i32>,
    /// The end of the attempt's log: at most 20 lines and 4 KiB, escape sequences removed.
    pub log_snippet: Option<String>,
}

impl Failure {
    /// Creates a failure without exit code and log.
    ///
    /// The message comes from outside and may be of any length: it is cut after 1,000 characters.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(1_000) {
            message.truncate(end);
        }
        Self {
            reason,
            message,
            exit_code: None,
            log_snippet: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of reasons as it is promised to clients.
    const TABLE: [(&str, Class, Retry); 30] = [
        ("source_auth_failed", Class::User, Retry::Never),
        ("source_not_found", Class::User, Retry::Never),
        ("revision_not_found", Class::User, Retry::Never),
        ("context_invalid", Class::User, Retry::Never),
        ("source_fetch_failed", Class::Infrastructure, Retry::Counted),
        ("dockerfile_missing", Class::User, Retry::Never),
        ("dockerfile_invalid", Class::User, Retry::Never),
        ("base_image_not_found", Class::User, Retry::Never),
        ("base_image_unauthorized", Class::User, Retry::Never),
        ("base_image_rate_limited", Class::Infrastructure, Retry::Counted),
        ("base_image_unavailable", Class::Infrastructure, Retry::Counted),
        ("build_step_failed", Class::User, Retry::Never),
        ("out_of_memory", Class::User, Retry::Never),
        ("disk_full", Class::Infrastructure, Retry::Free),
        ("evicted", Class::Infrastructure, Retry::Free),
        ("node_lost", Class::Infrastructure, Retry::Free),
        ("builder_image_unavailable", Class::Operator, Retry::Waits),
        ("unschedulable", Class::Operator, Retry::Waits),
        ("quota_exceeded", Class::Operator, Retry::Waits),
        ("config_missing", Class::Operator, Retry::Waits),
        ("registry_unauthorized", Class::Operator, Retry::Never),
        ("push_denied", Class::Operator, Retry::Never),
        ("tag_immutable", Class::Operator, Retry::Never),
        ("registry_unavailable", Class::Infrastructure, Retry::Counted),
        ("push_failed", Class::Infrastructure, Retry::Counted),
        ("timed_out", Class::Policy, Retry::Never),
        ("job_lost", Class::Infrastructure, Retry::Never),
        ("name_conflict", Class::Infrastructure, Retry::Never),
        ("launch_failed", Class::Infrastructure, Retry::Never),
        ("unknown", Class::Infrastructure, Retry::Counted),
    ];

    #[test]
    fn reasons_are_the_promised_ones() {
        assert_eq!(Reason::ALL.len(), TABLE.len());
        for (name, class, retry) in TABLE {
            let reason: Reason = name.parse().expect(name);
            assert_eq!((reason.class(), reason.retry()), (class, retry), "{name}");
            assert_eq!(
                reason.retryable(),
                matches!(retry, Retry::Counted | Retry::Free),
                "{name}"
            );
        }
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).expect("a name"), reason.as_str());
            let class = reason.class();
            assert_eq!(serde_json::to_value(class).expect("a name"), class.as_str());
        }
        for text in ["", "Unknown", "out of memory", "unknown "] {
            assert!(text.parse::<Reason>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::new(Reason::Unknown, "é".repeat(5_000));
        assert_eq!(failure.message.chars().count(), 1_000);
        assert_eq!(Failure::new(Reason::Unknown, "short").message, "short");
    }
}
