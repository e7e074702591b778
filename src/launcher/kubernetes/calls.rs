//! Runs every call under a deadline, and converts its errors to those of the launcher.

use std::{future::Future, time::Duration};

use kube::{Error, core::Status};

use crate::launcher::{LaunchError, LauncherError};

/// Deadline of a call to the API server. All calls may be repeated.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Deadline for opening a connection.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Runs a call under the deadline.
pub(super) async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, LauncherError> {
    in_time(request, problem).await
}

/// Runs a call for a log under the deadline.
pub(super) async fn call_for_log<T>(
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, LauncherError> {
    in_time(request, log_problem).await
}

async fn in_time<T>(
    request: impl Future<Output = kube::Result<T>>,
    meaning: fn(&Error) -> LauncherError,
) -> Result<T, LauncherError> {
    match tokio::time::timeout(CALL_DEADLINE, request).await {
        Ok(answer) => answer.map_err(|error| meaning(&error)),
        Err(_) => Err(LauncherError::Unavailable(too_late())),
    }
}

/// Reason why a Job was not created.
pub(super) enum Refusal {
    /// The name is taken.
    Exists,
    /// Any other error.
    Other(LaunchError),
}

/// Runs the call that creates a Job under the deadline.
pub(super) async fn create<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
    match tokio::time::timeout(CALL_DEADLINE, request).await {
        Ok(answer) => answer.map_err(|error| refusal(&error)),
        // The Job may have been created nevertheless: the next try adopts it.
        Err(_) => Err(Refusal::Other(LaunchError::Unavailable(too_late()))),
    }
}

fn too_late() -> String {
    format!(
        "the Kubernetes API server did not answer within {} s",
        CALL_DEADLINE.as_secs()
    )
}

pub(super) fn problem(error: &Error) -> LauncherError {
    match error {
        Error::Api(status) if status.is_not_found() => LauncherError::NotFound(status.message.clone()),
        Error::Api(status) => LauncherError::Unavailable(said(status)),
        other => LauncherError::Unavailable(unreached(other)),
    }
}

/// Converts the error of a call for a log, as [`problem`] does, except that 400 is the answer for a container
/// that has not started or has left no log.
fn log_problem(error: &Error) -> LauncherError {
    match error {
        Error::Api(status) if status.code == 400 => LauncherError::NotFound(said(status)),
        other => problem(other),
    }
}

fn refusal(error: &Error) -> Refusal {
    let Error::Api(status) = error else {
        return Refusal::Other(LaunchError::Unavailable(unreached(error)));
    };
    if status.is_already_exists() {
        return Refusal::Exists;
    }
    Refusal::Other(if is_final(status) {
        LaunchError::Refused(said(status))
    } else {
        LaunchError::Unavailable(said(status))
    })
}

/// Returns true if the same Job would be refused again. A quota becomes free again, and an operator corrects
/// our permissions and credentials while builds wait: none of the three is the build's fault.
fn is_final(status: &Status) -> bool {
    match status.code {
        403 => status.message.contains("denied"),
        400 | 404 | 405 | 406 | 413 | 415 | 422 => true,
        _ => false,
    }
}

fn said(status: &Status) -> String {
    format!(
        "the Kubernetes API server answered {}: {}",
        status.code, status.message
    )
}

/// Formats an error by its innermost cause: the outermost only says that a service failed.
fn unreached(error: &Error) -> String {
    let cause = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source()).last();
    let words = cause.map_or_else(String::new, ToString::to_string);
    format!("the Kubernetes API server cannot be reached: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, reason: &str, message: &str) -> Refusal {
        let status = Status {
            code,
            reason: reason.into(),
            message: message.into(),
            ..Status::default()
        };
        refusal(&Error::Api(Box::new(status)))
    }

    #[test]
    fn a_taken_name_is_told_from_other_conflicts() {
        assert!(matches!(answer(409, "AlreadyExists", "exists"), Refusal::Exists));
        let other = answer(409, "Conflict", "try again");
        assert!(matches!(other, Refusal::Other(LaunchError::Unavailable(_))));
    }

    #[test]
    fn builds_wait_for_what_passes_or_is_not_their_fault() {
        for (code, message) in [
            (401, "Unauthorized"),
            (
                403,
                "jobs.batch \"x\" is forbidden: exceeded quota: jobs, requested: 1, used: 5, limited: 5",
            ),
            (
                403,
                "jobs.batch is forbidden: User \"slipway\" cannot create resource \"jobs\"",
            ),
            (
                403,
                "unable to create new content in namespace b because it is being terminated",
            ),
            (429, "too many requests"),
            (500, "etcdserver: request timed out"),
            (503, "apiserver is shutting down"),
            (504, "Timeout: request did not complete within requested timeout"),
        ] {
            let refused = answer(code, "", message);
            assert!(
                matches!(refused, Refusal::Other(LaunchError::Unavailable(_))),
                "{code} {message}"
            );
        }
    }

    #[test]
    fn what_is_refused_for_good_is_not_tried_again() {
        for (code, message) in [
            (400, "admission webhook \"policy.test\" denied the request"),
            (403, "admission webhook \"policy.test\" denied the request: no"),
            (404, "namespaces \"builds\" not found"),
            (
                422,
                "Job.batch \"x\" is invalid: spec.template.spec.containers[0].image: Required value",
            ),
        ] {
            let refused = answer(code, "", message);
            assert!(
                matches!(refused, Refusal::Other(LaunchError::Refused(_))),
                "{code} {message}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_on() {
        let silent = std::future::pending::<kube::Result<()>>();
        assert!(matches!(call(silent).await, Err(LauncherError::Unavailable(_))));
        let silent = std::future::pending::<kube::Result<()>>();
        assert!(matches!(
            create(silent).await,
            Err(Refusal::Other(LaunchError::Unavailable(_)))
        ));
    }
}
