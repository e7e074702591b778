//! What the engine's errors mean to us.

use bollard::errors::Error;

use crate::{
    domain::kaniko_log,
    launcher::{LaunchError, LauncherError},
};

/// The HTTP status of the engine's answer, if it answered.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's own words, fit to be shown.
pub fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => kaniko_log::message(message),
        Error::DockerStreamError { error } => kaniko_log::message(error),
        other => kaniko_log::message(&format!("the container engine does not answer: {other}")),
    }
}

/// An error of a call that looks.
pub fn looking(error: &Error) -> LauncherError {
    match status(error) {
        Some(404) => LauncherError::NotFound(words(error)),
        _ => LauncherError::Unavailable(words(error)),
    }
}

/// An error of a call that launches: what the engine refuses now it refuses again, what did not answer may answer.
pub fn launching(error: &Error) -> LaunchError {
    match status(error) {
        // 404: removed under our hands. 409: being removed. 429 and 503: asks to be left alone.
        None | Some(404 | 409 | 429 | 503) => LaunchError::Unavailable(words(error)),
        Some(_) => LaunchError::Refused(words(error)),
    }
}
