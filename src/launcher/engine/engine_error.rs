//! Converts the engine's errors to those of the launcher.

use bollard::errors::Error;

use crate::{
    domain::kaniko_log,
    launcher::{LaunchError, LauncherError},
};

/// Returns the HTTP status of the engine's answer, if it answered.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Returns the engine's message in a form that can be shown.
pub fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => kaniko_log::message(message),
        Error::DockerStreamError { error } => kaniko_log::message(error),
        other => kaniko_log::message(&format!("the container engine does not answer: {other}")),
    }
}

/// Converts the error of a call that observes.
pub fn looking(error: &Error) -> LauncherError {
    match status(error) {
        Some(404) => LauncherError::NotFound(words(error)),
        _ => LauncherError::Unavailable(words(error)),
    }
}

/// Converts the error of a call that launches: the engine would repeat a refusal, while a missing answer is
/// temporary.
pub fn launching(error: &Error) -> LaunchError {
    match status(error) {
        // 404: removed meanwhile. 409: being removed. 429 and 503: overloaded.
        None | Some(404 | 409 | 429 | 503) => LaunchError::Unavailable(words(error)),
        Some(_) => LaunchError::Refused(words(error)),
    }
}
