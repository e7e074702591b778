//! Runs builds as Kubernetes Jobs. Kubernetes admits one Job of a name, retries failed pods and enforces
//! timeouts; this module makes the calls under deadlines, observes the objects and interprets the answers.

mod calls;
mod ended;
mod follow;
mod mirror;
mod watch;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::ClientBuilder,
    config::KubeConfigOptions,
};
use serde_json::json;
use tower::timeout::TimeoutLayer;

use self::{
    calls::{CALL_DEADLINE, CONNECT_DEADLINE, Refusal, call},
    ended::EndedLogs,
    watch::{Seen, Watched},
};
use super::{
    Change, LaunchError, Launched, Launcher, LauncherError, Order,
    manifest::{BUILD_ID, KubernetesOptions, MANAGED_BY, build_selector, manifest, selector},
    outcome::{Evidence, sighting},
};
use crate::domain::{BuildId, Outcome, Reason, Sighting};

/// Error in the setup of the launcher.
#[derive(Debug, thiserror::Error)]
#[error("no usable Kubernetes configuration: {0}")]
pub struct ConnectError(String);

/// Launches builds as Jobs in one namespace of one cluster.
pub struct Kubernetes {
    options: KubernetesOptions,
    jobs: Api<Job>,
    pods: Api<Pod>,
    events: Api<Event>,
    watched: Arc<Watched>,
    ended: Mutex<EndedLogs>,
}

impl Kubernetes {
    /// Reads the cluster's address and credentials: from the kubeconfig, or inside a cluster from the pod's
    /// own ServiceAccount. It makes no call to the cluster.
    pub async fn connect(options: KubernetesOptions) -> Result<Self, ConnectError> {
        let mut config = match &options.context {
            None => Config::infer()
                .await
                .map_err(|error| ConnectError(error.to_string()))?,
            Some(_) => {
                let choice = KubeConfigOptions {
                    context: options.context.clone(),
                    ..Default::default()
                };
                Config::from_kubeconfig(&choice)
                    .await
                    .map_err(|error| ConnectError(error.to_string()))?
            }
        };
        // Slipway retries by itself: the client's own retries outlast every deadline.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_DEADLINE);
        let client = ClientBuilder::try_from(config).map_err(|error| ConnectError(error.to_string()))?;
        // The timeout covers the time until an answer begins. Without it, a watch that is never answered
        // would wait for ever.
        let client = client.with_layer(&TimeoutLayer::new(CALL_DEADLINE)).build();
        Ok(Self::new(client, options))
    }

    /// Creates the launcher on an existing client.
    pub fn new(client: Client, options: KubernetesOptions) -> Self {
        let namespace = options.namespace.as_str();
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client, namespace),
            watched: Arc::default(),
            ended: Mutex::default(),
            options,
        }
    }

    /// Returns the objects of a build: from the watch if that is current and conclusive, or else from the API
    /// server.
    async fn seen(&self, id: BuildId) -> Result<Seen, LauncherError> {
        match self.watched.seen(id) {
            Some(seen) if !seen.is_gone() && !seen.may_mislead() => Ok(seen),
            // The watch may trail a creation, the watch of pods may trail that of Jobs, and there may be no
            // watch at all.
            _ => self.read(id).await,
        }
    }

    /// Reads the objects of a build from the API server. The Job comes first: a pod that it had counted when
    /// it was read does not appear as uncounted later.
    async fn read(&self, id: BuildId) -> Result<Seen, LauncherError> {
        let job = call(self.jobs.get_opt(&id.job_name())).await?;
        let job = job.filter(|job| belongs_to(job, id));
        let pods = call(self.pods.list(&ListParams::default().labels(&build_selector(id)))).await?;
        let mut events = Vec::new();
        if job.is_some() {
            let about = ListParams::default().fields(&format!("involvedObject.name={}", id.job_name()));
            events.extend(call(self.events.list(&about)).await?);
        }
        for pod in pods.iter().filter(|pod| is_pending(pod)) {
            let about = ListParams::default().fields(&format!("involvedObject.name={}", pod.name_any()));
            events.extend(call(self.events.list(&about)).await?);
        }
        Ok(Seen {
            job: job.map(Arc::new),
            pods: pods.into_iter().map(Arc::new).collect(),
            events,
        })
    }

    /// Derives the observation of a build from its objects and logs.
    async fn judge(&self, id: BuildId, seen: Seen) -> Result<Option<Sighting>, LauncherError> {
        if seen.is_gone() {
            self.forget(id);
            return Ok(None);
        }
        let pods: Vec<Pod> = seen.pods.iter().map(|pod| Pod::clone(pod)).collect();
        let logs = self.logs(id, &pods).await?;
        let texts: Vec<_> = logs.iter().map(ended::LogText::evidence).collect();
        let mut sighting = sighting(&Evidence {
            job: seen.job.as_deref(),
            pods: &pods,
            events: &seen.events,
            logs: &texts,
        });
        if was_taken_away(&seen, &sighting.outcome) {
            let message = Some("The Job was deleted; its pod is still there.".to_owned());
            sighting.outcome = Outcome::Waiting {
                reason: None,
                message,
            };
        }
        Ok(Some(sighting))
    }

    /// Adopts the Job that has the name already, or refuses it if it is not this build's.
    async fn adopt(&self, id: BuildId) -> Result<Launched, LaunchError> {
        let name = id.job_name();
        let found = call(self.jobs.get_opt(&name))
            .await
            .map_err(|error| LaunchError::Unavailable(error.to_string()))?;
        let Some(job) = found else {
            return Err(LaunchError::Unavailable(format!(
                "the Job {name} is just being removed"
            )));
        };
        if !belongs_to(&job, id) {
            return Err(LaunchError::NameConflict(name));
        }
        if job.metadata.deletion_timestamp.is_some() {
            return Err(LaunchError::Unavailable(format!(
                "the Job {name} is still being deleted"
            )));
        }
        Ok(Launched {
            external_id: job.uid().unwrap_or_default(),
            adopted: true,
        })
    }

    /// Removes pods that outlived their Job: it was deleted without them, and they still push.
    async fn remove_orphans(&self, id: BuildId) -> Result<(), LauncherError> {
        let pods = call(self.pods.list(&ListParams::default().labels(&build_selector(id)))).await?;
        for pod in pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        {
            absent_is_fine(call(self.pods.delete(&pod.name_any(), &DeleteParams::default())).await)?;
        }
        Ok(())
    }
}

/// Returns true if a Job is ours and this build's, and does not only have the same name.
fn belongs_to(job: &Job, id: BuildId) -> bool {
    let label = |key: &str| job.labels().get(key).map(String::as_str);
    label(MANAGED_BY.0) == Some(MANAGED_BY.1) && label(BUILD_ID) == Some(id.to_string().as_str())
}

/// Returns true if the Job was deleted while its build ran. Then the end of its pods says nothing about the
/// build, which is launched again once nothing is left. A build that has failed for a known reason before has
/// failed nevertheless.
fn was_taken_away(seen: &Seen, outcome: &Outcome) -> bool {
    let unexplained = matches!(outcome, Outcome::Failed(failure)
        if matches!(failure.reason, Reason::Unknown | Reason::JobLost));
    seen.job.is_none()
        && unexplained
        && seen
            .pods
            .iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_some())
}

fn is_pending(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_none_or(|phase| phase == "Pending")
}

fn absent_is_fine<T>(result: Result<T, LauncherError>) -> Result<bool, LauncherError> {
    match result {
        Ok(_) => Ok(true),
        Err(LauncherError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Launcher for Kubernetes {
    async fn launch(&self, order: &Order) -> Result<Launched, LaunchError> {
        let job = manifest(order, &self.options)?;
        match calls::create(self.jobs.create(&PostParams::default(), &job)).await {
            Ok(made) => Ok(Launched {
                external_id: made.uid().unwrap_or_default(),
                adopted: false,
            }),
            Err(Refusal::Exists) => self.adopt(order.id).await,
            Err(Refusal::Other(error)) => Err(error),
        }
    }

    async fn look(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        self.judge(id, self.seen(id).await?).await
    }

    async fn ask(&self, id: BuildId) -> Result<Option<Sighting>, LauncherError> {
        self.judge(id, self.read(id).await?).await
    }

    async fn list(&self) -> Result<Vec<BuildId>, LauncherError> {
        if let Some(builds) = self.watched.builds() {
            return Ok(builds);
        }
        let ours = ListParams::default().labels(&selector());
        let jobs = call(self.jobs.list_metadata(&ours)).await?;
        let pods = call(self.pods.list_metadata(&ours)).await?;
        let labels = jobs
            .iter()
            .map(ResourceExt::labels)
            .chain(pods.iter().map(ResourceExt::labels));
        let mut builds: Vec<BuildId> = labels
            .filter_map(|labels| labels.get(BUILD_ID)?.parse().ok())
            .collect();
        builds.sort_unstable();
        builds.dedup();
        Ok(builds)
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        watch::changes(
            &self.jobs,
            &self.pods,
            &self.events,
            &self.watched,
            self.options.watch_seconds,
        )
    }

    async fn stop_retrying(&self, id: BuildId) -> Result<(), LauncherError> {
        let patch = Patch::Merge(json!({ "spec": { "backoffLimit": 0 } }));
        absent_is_fine(call(self.jobs.patch(&id.job_name(), &PatchParams::default(), &patch)).await).map(drop)
    }

    async fn start_attempt(&self, _order: &Order, _number: u32) -> Result<(), LaunchError> {
        // Kubernetes starts the next attempt by itself.
        Ok(())
    }

    async fn remove(&self, id: BuildId) -> Result<(), LauncherError> {
        // In the foreground: the Job is deleted after its pods, so that a build without a Job cannot push any
        // more.
        let found = call(self.jobs.get_opt(&id.job_name())).await?;
        if let Some(job) = found.filter(|job| belongs_to(job, id)) {
            let this_one = DeleteParams::foreground().preconditions(kube::api::Preconditions {
                uid: job.uid(),
                resource_version: None,
            });
            if absent_is_fine(call(self.jobs.delete(&id.job_name(), &this_one)).await)? {
                return Ok(());
            }
        }
        self.remove_orphans(id).await
    }

    async fn log(
        &self,
        id: BuildId,
        attempt: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, LauncherError>>, LauncherError> {
        let pod = call(self.pods.get(attempt)).await?;
        if pod.labels().get(BUILD_ID) != Some(&id.to_string()) {
            return Err(LauncherError::NotFound(format!(
                "the pod {attempt} is not this build's"
            )));
        }
        follow::follow(&self.pods, &pod, from).await
    }

    async fn ready(&self) -> Result<(), LauncherError> {
        // Reaches the API server and requires the same permissions as all other calls. The answer comes from
        // its cache and is cheap.
        let one = ListParams::default().labels(&selector()).limit(1).match_any();
        call(self.jobs.list_metadata(&one)).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
