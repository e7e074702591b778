//! Reads the logs from which an outcome is derived: those of failed pods, which are cached, and the current
//! log of a running pod.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::{Api, ResourceExt, api::LogParams};

use super::{Kubernetes, calls::call_for_log};
use crate::{
    domain::{BuildId, failure::Retry},
    launcher::{
        LauncherError,
        outcome::{BUILD_CONTAINER, Evidence, PodLog, sighting},
    },
};

/// Part of a log that is read, counted from its end.
const TAIL_BYTES: usize = 256 * 1024;
const TAIL_LINES: i64 = 2000;

/// Number of failed reads of a log after which the outcome is derived without it.
const TRIES: u8 = 3;

/// Deadline for the log of a running pod: its node may not answer at all.
const GLANCE: Duration = Duration::from_secs(2);

/// Deadline for the log of a failed pod: well within the 10 s after which the next attempt begins.
const PATIENCE: Duration = Duration::from_secs(4);

/// Number of builds whose logs are cached; the logs of others are read again.
const KEPT_BUILDS: usize = 256;

/// The end of a pod's log.
#[derive(Clone)]
pub(super) struct LogText {
    pod: String,
    text: Arc<[u8]>,
}

impl LogText {
    pub(super) fn evidence(&self) -> PodLog<'_> {
        PodLog {
            pod: &self.pod,
            text: &self.text,
            phase: None,
        }
    }
}

/// Cache of the logs of failed pods.
#[derive(Default)]
pub(super) struct EndedLogs(HashMap<BuildId, HashMap<String, Kept>>);

enum Kept {
    Text(Arc<[u8]>),
    Missed(u8),
}

impl EndedLogs {
    fn get(&self, id: BuildId, pod: &str) -> Option<Arc<[u8]>> {
        match self.0.get(&id)?.get(pod)? {
            Kept::Text(text) => Some(Arc::clone(text)),
            Kept::Missed(_) => None,
        }
    }

    fn keep(&mut self, id: BuildId, pod: &str, text: &Arc<[u8]>) {
        if self.0.len() >= KEPT_BUILDS && !self.0.contains_key(&id) {
            let any = self.0.keys().next().copied();
            any.and_then(|any| self.0.remove(&any));
        }
        self.0
            .entry(id)
            .or_default()
            .insert(pod.to_owned(), Kept::Text(Arc::clone(text)));
    }

    /// Counts a failed read. Returns true if it was the last one that is waited for.
    fn miss(&mut self, id: BuildId, pod: &str) -> bool {
        let kept = self
            .0
            .entry(id)
            .or_default()
            .entry(pod.to_owned())
            .or_insert(Kept::Missed(0));
        if let Kept::Missed(times) = kept {
            *times += 1;
            return *times >= TRIES;
        }
        false
    }
}

/// Container of a pod whose log matters.
enum Subject<'a> {
    /// A container that failed.
    Failed(&'a str, &'a ContainerStatus),
    /// The running container of this name, in which kaniko works.
    Running(&'a str),
}

fn subject(pod: &Pod) -> Option<Subject<'_>> {
    let status = pod.status.as_ref()?;
    let inits = status.init_container_statuses.as_deref().unwrap_or_default();
    let mains = status.container_statuses.as_deref().unwrap_or_default();
    let failed = inits
        .iter()
        .chain(mains)
        .find(|one| one.state.as_ref().is_some_and(has_failed));
    if let Some(container) = failed {
        return Some(Subject::Failed(&container.name, container));
    }
    let builds = inits.iter().filter(|one| one.name == BUILD_CONTAINER);
    builds
        .chain(mains)
        .find(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()))
        .map(|one| Subject::Running(&one.name))
}

fn has_failed(state: &ContainerState) -> bool {
    state.terminated.as_ref().is_some_and(|end| end.exit_code != 0)
}

impl Kubernetes {
    /// Reads the logs from which the state of the pods is derived.
    pub(super) async fn logs(&self, id: BuildId, pods: &[Pod]) -> Result<Vec<LogText>, LauncherError> {
        let mut logs = Vec::new();
        for pod in pods {
            let name = pod.name_any();
            let text = match subject(pod) {
                Some(Subject::Failed(container, status)) => {
                    self.ended_log(id, pod, container, status).await?
                }
                // The phase of a pod that is being deleted does not matter. Its node may be lost, which is
                // visible for a second or so only, so the observation must not wait for a log.
                Some(Subject::Running(_)) if pod.metadata.deletion_timestamp.is_some() => continue,
                // This log only shows the phase; after an error, the next observation shows it.
                Some(Subject::Running(container)) => {
                    let now = tail(&self.pods, &name, container);
                    match tokio::time::timeout(GLANCE, now).await {
                        Ok(Ok(text)) => text,
                        _ => continue,
                    }
                }
                None => continue,
            };
            logs.push(LogText { pod: name, text });
        }
        Ok(logs)
    }

    /// Returns the end of a failed container's log. The first successful read is cached, because the pod may
    /// be gone at the next observation. A log that cannot be read is tried again a few times, because the
    /// outcome is final, unless the log's end in the pod's status shows already that another attempt is
    /// pointless. After the last try that end is used.
    async fn ended_log(
        &self,
        id: BuildId,
        pod: &Pod,
        container: &str,
        status: &ContainerStatus,
    ) -> Result<Arc<[u8]>, LauncherError> {
        let name = pod.name_any();
        if let Some(text) = self.ended().get(id, &name) {
            return Ok(text);
        }
        if !has_run(status) {
            return Ok(last_words(status));
        }
        let read = tokio::time::timeout(PATIENCE, tail(&self.pods, &name, container)).await;
        let text = match read {
            Ok(Ok(text)) => text,
            Ok(Err(LauncherError::NotFound(_))) => last_words(status),
            Ok(Err(LauncherError::Unavailable(_))) | Err(_) => {
                let words = last_words(status);
                if !is_settled(pod, &name, &words) && !self.ended().miss(id, &name) {
                    return Err(LauncherError::Unavailable(format!(
                        "the log of the pod {name} cannot be read yet"
                    )));
                }
                words
            }
        };
        self.ended().keep(id, &name, &text);
        Ok(text)
    }

    pub(super) fn forget(&self, id: BuildId) {
        self.ended().0.remove(&id);
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, EndedLogs> {
        self.ended
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Returns true if the container was created. One that was never created also has an end in its status, but
/// no log.
fn has_run(status: &ContainerStatus) -> bool {
    status.container_id.as_deref().is_some_and(|id| !id.is_empty())
}

/// Returns true if the pod's status and these words are enough to know that another attempt is pointless.
fn is_settled(pod: &Pod, name: &str, words: &[u8]) -> bool {
    let log = PodLog {
        pod: name,
        text: words,
        phase: None,
    };
    let seen = sighting(&Evidence {
        job: None,
        pods: std::slice::from_ref(pod),
        events: &[],
        logs: &[log],
    });
    let mut failures = seen
        .attempts
        .iter()
        .filter_map(|attempt| attempt.failure.as_ref());
    failures.any(|failure| failure.reason.retry() == Retry::Never)
}

fn last_words(status: &ContainerStatus) -> Arc<[u8]> {
    let end = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let words = end.and_then(|end| end.message.as_deref()).unwrap_or_default();
    words.as_bytes().into()
}

/// Reads the end of a container's log. `limitBytes` would return its beginning.
async fn tail(pods: &Api<Pod>, pod: &str, container: &str) -> Result<Arc<[u8]>, LauncherError> {
    let params = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(TAIL_LINES),
        ..LogParams::default()
    };
    call_for_log(async {
        let mut stream = std::pin::pin!(pods.log_stream(pod, &params).await?);
        let mut text = Vec::new();
        let mut piece = vec![0; 16 * 1024];
        loop {
            let read = stream.read(&mut piece).await.map_err(kube::Error::ReadEvents)?;
            if read == 0 {
                break;
            }
            text.extend_from_slice(&piece[..read]);
            if text.len() > 2 * TAIL_BYTES {
                text.drain(..text.len() - TAIL_BYTES);
            }
        }
        Ok(text.into())
    })
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STEP: &[u8] =
        b"error building image: error building stage: failed to execute command: waiting for process to exit: exit status 7\n";
    const PUSH: &[u8] = b"error pushing image: failed to push to destination r/x:1: connection refused\n";

    fn settled(terminated: Value, words: &[u8]) -> bool {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "a" }, "spec": { "containers": [] },
            "status": { "phase": "Failed", "containerStatuses": [{
                "name": "kaniko", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "terminated": terminated },
            }] },
        }))
        .expect("a pod");
        is_settled(&pod, "a", words)
    }

    #[test]
    fn the_status_is_enough_where_it_shows_that_another_try_is_pointless() {
        assert!(settled(json!({ "exitCode": 7, "reason": "Error" }), STEP));
        assert!(settled(json!({ "exitCode": 137, "reason": "OOMKilled" }), b""));
        assert!(!settled(json!({ "exitCode": 1, "reason": "Error" }), PUSH));
        assert!(!settled(
            json!({ "exitCode": 1, "reason": "Error" }),
            b"Flags:\n  --usage\n"
        ));
    }
}
