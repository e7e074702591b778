//! Follows the log of an attempt from a byte offset on.

use std::future::ready;

use bollard::{
    Docker,
    query_parameters::{InspectContainerOptions, LogsOptionsBuilder},
};
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

use super::{
    attempts::{Standing, standing},
    engine_error,
    labels::Labels,
};
use crate::{domain::BuildId, launcher::LauncherError};

/// Follows standard output and standard error as one stream, in the order in which the engine received them.
pub async fn follow(
    docker: &Docker,
    instance: &str,
    id: BuildId,
    attempt: &str,
    from: u64,
) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
    let found = docker
        .inspect_container(attempt, None::<InspectContainerOptions>)
        .await;
    let found = found.map_err(|error| engine_error::looking(&error))?;
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    if Labels::read(&labels, instance).is_none_or(|labels| labels.build != id) {
        return Err(LauncherError::NotFound(format!(
            "{attempt} is no attempt of this build"
        )));
    }
    if standing(&found.state.unwrap_or_default()) == Standing::Created {
        return Err(LauncherError::NotFound(format!("{attempt} has not started")));
    }
    let options = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .build();
    // By id: a later container of the same name has another log.
    let container = found.id.as_deref().unwrap_or(attempt);
    let pieces = docker.logs(container, Some(options)).map(|piece| match piece {
        Ok(piece) => Ok(piece.into_bytes()),
        Err(error) => Err(engine_error::looking(&error)),
    });
    Ok(skip(pieces.boxed(), from))
}

/// Drops the first `from` bytes: the engine supports no offsets, so they are read again.
fn skip(
    pieces: BoxStream<'static, Result<Bytes, LauncherError>>,
    from: u64,
) -> BoxStream<'static, Result<Bytes, LauncherError>> {
    let mut left = from;
    pieces
        .filter_map(move |piece| {
            ready(match piece {
                Ok(mut bytes) => {
                    let dropped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    left -= dropped as u64;
                    let rest = bytes.split_off(dropped);
                    (!rest.is_empty()).then_some(Ok(rest))
                }
                Err(error) => Some(Err(error)),
            })
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_log_is_resumed_in_the_middle_of_a_piece() {
        for (from, expected) in [
            (0, "one two three"),
            (4, "two three"),
            (6, "o three"),
            (13, ""),
            (99, ""),
        ] {
            let pieces = ["one ", "two ", "three"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            let rest: Vec<_> = skip(stream::iter(pieces).boxed(), from).collect().await;
            let rest: Vec<u8> = rest
                .into_iter()
                .flat_map(|piece| piece.expect("no error"))
                .collect();
            assert_eq!(String::from_utf8_lossy(&rest), expected, "from {from}");
        }
    }
}
