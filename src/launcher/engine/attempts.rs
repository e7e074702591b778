//! Reads the state of a build's containers from the engine.

use std::collections::HashMap;

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum},
    query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder},
};
use futures::StreamExt;
use jiff::Timestamp;

use super::{
    engine_error, files,
    labels::{self, Labels},
    outcome::{End, Seen, Status},
};
use crate::domain::{BuildId, kaniko_log::Progress};

/// Number of lines that are read from the end of a log.
const LINES: &str = "4000";

/// Upper bound of bytes that are kept of these lines.
const BYTES: usize = 1024 * 1024;

/// Returns the labels of all containers that match the filter, each with its container's id.
pub async fn labelled(
    docker: &Docker,
    filter: &HashMap<String, Vec<String>>,
    instance: &str,
) -> Result<Vec<(String, Labels)>, Error> {
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(filter)
        .build();
    let found = docker.list_containers(Some(options)).await?;
    let ours = found.into_iter().filter_map(|container| {
        let labels = Labels::read(container.labels.as_ref()?, instance)?;
        Some((container.id?, labels))
    });
    Ok(ours.collect())
}

/// Observes a build's attempts, oldest first.
pub async fn look(docker: &Docker, instance: &str, build: BuildId) -> Result<Vec<Seen>, Error> {
    let mut found = labelled(docker, &labels::of_build(instance, build), instance).await?;
    found.sort_by_key(|(_, labels)| labels.attempt);
    let mut seen = Vec::with_capacity(found.len());
    for (id, labels) in found {
        match inspect(docker, &id, labels).await {
            Ok(one) => seen.push(one),
            // The container was removed after the list was read.
            Err(error) if engine_error::status(&error) == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

async fn inspect(docker: &Docker, id: &str, labels: Labels) -> Result<Seen, Error> {
    let found = docker
        .inspect_container(id, None::<InspectContainerOptions>)
        .await?;
    let state = found.state.clone().unwrap_or_default();
    let status = match standing(&state) {
        Standing::Created => Status::Created,
        Standing::Removing => Status::Removing,
        Standing::Running => {
            let mut progress = Progress::default();
            progress.feed(&log_end(docker, id).await?);
            Status::Running {
                phase: progress.phase(),
            }
        }
        Standing::Ended => Status::Ended(end(docker, id, &state).await?),
    };
    Ok(Seen {
        id: found.id.clone().unwrap_or_else(|| id.to_owned()),
        name: name(&found, &labels),
        number: labels.attempt,
        first: labels.first,
        max_retries: labels.max_retries,
        timeout: labels.timeout,
        started_at: state.started_at.as_deref().and_then(moment),
        status,
    })
}

fn name(found: &ContainerInspectResponse, labels: &Labels) -> String {
    match &found.name {
        Some(name) => name.trim_start_matches('/').to_owned(),
        None => labels::container_name(labels.build, labels.attempt),
    }
}

/// State of a container, as its inspection alone shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Created, but not started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Ended,
    /// Being removed.
    Removing,
}

/// Converts the engine's state of a container.
pub fn standing(state: &ContainerState) -> Standing {
    use ContainerStateStatusEnum as Engine;
    match state.status {
        Some(Engine::RUNNING | Engine::PAUSED | Engine::RESTARTING | Engine::STOPPING) => Standing::Running,
        Some(Engine::EXITED) => Standing::Ended,
        Some(Engine::REMOVING | Engine::DEAD) => Standing::Removing,
        Some(Engine::CREATED | Engine::EMPTY) | None => Standing::Created,
    }
}

async fn end(docker: &Docker, id: &str, state: &ContainerState) -> Result<End, Error> {
    let exit_code = state
        .exit_code
        .and_then(|code| i32::try_from(code).ok())
        .unwrap_or(-1);
    let (digest, log) = match exit_code {
        0 => (files::digest(docker, id).await?, Vec::new()),
        _ => (None, log_end(docker, id).await?),
    };
    Ok(End {
        exit_code,
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.clone().unwrap_or_default(),
        finished_at: state.finished_at.as_deref().and_then(moment),
        digest,
        log,
    })
}

/// Parses a time as the engine writes it; year 1 stands for "not yet".
fn moment(text: &str) -> Option<Timestamp> {
    let moment: Timestamp = text.parse().ok()?;
    (moment > Timestamp::UNIX_EPOCH).then_some(moment)
}

async fn log_end(docker: &Docker, id: &str) -> Result<Vec<u8>, Error> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(LINES)
        .build();
    let mut pieces = docker.logs(id, Some(options)).boxed();
    let mut log = Vec::new();
    while let Some(piece) = pieces.next().await {
        log.extend_from_slice(piece?.as_ref());
        if log.len() > 2 * BYTES {
            log.drain(..log.len() - BYTES);
        }
    }
    log.drain(..log.len().saturating_sub(BYTES));
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_one_is_no_time() {
        assert_eq!(moment("0001-01-01T00:00:00Z"), None);
        assert!(moment("2026-11-24T00:27:31.123456789Z").is_some());
    }
}
