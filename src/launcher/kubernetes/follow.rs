//! Follows the log of one attempt to its end: first that of the context's fetch, then kaniko's.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, ResourceExt, api::LogParams};
use tokio_util::{compat::FuturesAsyncReadCompatExt, io::ReaderStream};

use super::calls::{call_for_log, problem};
use crate::launcher::LauncherError;

type Pieces = BoxStream<'static, Result<Bytes, LauncherError>>;

/// Time without data after which a connection counts as dead. The follower then resumes the log where it
/// stopped.
const SILENCE: Duration = Duration::from_secs(300);

/// Follows the log from the byte `from` on.
pub(super) async fn follow(pods: &Api<Pod>, pod: &Pod, from: u64) -> Result<Pieces, LauncherError> {
    let name = pod.name_any();
    let containers = readable(pod)?;
    let mut parts = Vec::new();
    for container in containers {
        parts.push(open(pods, &name, &container).await?);
    }
    Ok(skip(stream::iter(parts).flatten().boxed(), from))
}

/// Returns the containers whose logs so far form the attempt's: those before kaniko, and kaniko, unless one
/// before it still runs or has failed. Each but the last has ended, because bytes are counted from the first
/// container's first byte on.
fn readable(pod: &Pod) -> Result<Vec<String>, LauncherError> {
    let waits = || LauncherError::NotFound(format!("the pod {} has no log yet", pod.name_any()));
    let status = pod.status.as_ref().ok_or_else(waits)?;
    let inits = status.init_container_statuses.as_deref().unwrap_or_default();
    let main = status.container_statuses.as_deref().unwrap_or_default().first();
    let mut containers = Vec::new();
    for container in inits.iter().chain(main) {
        if !has_started(container) {
            return Err(waits());
        }
        containers.push(container.name.clone());
        if exit_code(container) != Some(0) {
            break;
        }
    }
    if containers.is_empty() {
        Err(waits())
    } else {
        Ok(containers)
    }
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn has_started(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

async fn open(pods: &Api<Pod>, pod: &str, container: &str) -> Result<Pieces, LauncherError> {
    let params = LogParams {
        container: Some(container.to_owned()),
        follow: true,
        ..LogParams::default()
    };
    let reader = call_for_log(pods.log_stream(pod, &params)).await?;
    let pieces = ReaderStream::with_capacity(reader.compat(), 16 * 1024).map_err(broke);
    Ok(tokio_stream::StreamExt::timeout(pieces, SILENCE)
        .map(|piece| match piece {
            Ok(piece) => piece,
            Err(_) => Err(LauncherError::Unavailable(
                "the log has been silent for long".to_owned(),
            )),
        })
        .boxed())
}

fn broke(error: io::Error) -> LauncherError {
    problem(&kube::Error::ReadEvents(error))
}

/// Drops the first `from` bytes: Kubernetes returns logs from their beginning only.
fn skip(pieces: Pieces, from: u64) -> Pieces {
    let mut left = from;
    pieces
        .try_filter_map(move |mut piece| {
            let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            left -= skipped as u64;
            let rest = piece.split_off(skipped);
            futures::future::ready(Ok((!rest.is_empty()).then_some(rest)))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodStatus;
    use serde_json::{Value, json};

    use super::*;

    fn containers(inits: Vec<Value>, main: Value) -> Option<Vec<String>> {
        let status = |(name, state): (String, &Value)| json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        let inits: Vec<Value> = inits
            .iter()
            .enumerate()
            .map(|(i, state)| status((format!("init-{i}"), state)))
            .collect();
        let status: PodStatus = serde_json::from_value(json!({
            "initContainerStatuses": inits, "containerStatuses": [status(("kaniko".into(), &main))],
        }))
        .expect("a pod's status");
        readable(&Pod {
            status: Some(status),
            ..Pod::default()
        })
        .ok()
    }

    fn ended(exit_code: i32) -> Value {
        json!({ "terminated": { "exitCode": exit_code } })
    }

    #[test]
    fn a_log_is_that_of_the_containers_so_far() {
        let (running, waiting) = (json!({ "running": {} }), json!({ "waiting": {} }));
        let named = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(containers(vec![], waiting.clone()), None);
        assert_eq!(containers(vec![], running.clone()), named(&["kaniko"]));
        assert_eq!(containers(vec![], ended(1)), named(&["kaniko"]));
        assert_eq!(containers(vec![waiting.clone()], waiting.clone()), None);
        assert_eq!(
            containers(vec![running.clone()], waiting.clone()),
            named(&["init-0"])
        );
        assert_eq!(containers(vec![ended(65)], waiting.clone()), named(&["init-0"]));
        assert_eq!(containers(vec![ended(0)], waiting), None);
        assert_eq!(containers(vec![ended(0)], running), named(&["init-0", "kaniko"]));
        assert_eq!(containers(vec![ended(0)], ended(0)), named(&["init-0", "kaniko"]));
    }

    #[tokio::test]
    async fn a_log_is_taken_up_at_any_byte() {
        let pieces = || stream::iter(["abc", "def", "g"].map(|piece| Ok(Bytes::from(piece)))).boxed();
        for from in 0..9 {
            let rest: Vec<Bytes> = skip(pieces(), from as u64)
                .try_collect()
                .await
                .expect("no piece fails");
            assert_eq!(rest.concat(), "abcdefg".as_bytes()[from.min(7)..], "{from}");
        }
    }
}
