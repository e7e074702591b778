//! Everything that the cluster ever showed of this test's builds, written down by watches of its own; and what must be
//! true of it at every moment.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, Client, Resource, ResourceExt, runtime::watcher};
use serde::de::DeserializeOwned;
use slipway::{domain::BuildId, launcher::manifest::BUILD_ID};
use tokio::{sync::watch, task::JoinHandle};

/// How long anything may take that must happen. What a periodic comparison would find takes longer.
pub const PATIENCE: Duration = Duration::from_secs(200);

/// One object, as it was last seen.
#[derive(Debug, Clone)]
pub struct Entry<K> {
    pub build: BuildId,
    pub object: K,
    pub gone: bool,
}

#[derive(Debug, Default)]
pub struct Seen {
    /// In the order of their appearance.
    pub jobs: Vec<Entry<Job>>,
    pub pods: Vec<Entry<Pod>>,
    /// What must never have been.
    pub wrongs: Vec<String>,
}

pub struct Chronicle {
    seen: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

impl Chronicle {
    pub fn begin(client: &Client, namespace: &str) -> Self {
        let seen = Arc::new(Shared {
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let jobs = Api::<Job>::namespaced(client.clone(), namespace);
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        Self {
            tasks: [
                tokio::spawn(write_down(jobs, seen.clone(), |seen| &mut seen.jobs)),
                tokio::spawn(write_down(pods, seen.clone(), |seen| &mut seen.pods)),
            ],
            seen,
        }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }

    /// Waits until something is seen.
    pub async fn until<T>(&self, what: impl Debug, look: impl Fn(&Seen) -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look).await
    }

    pub async fn until_within<T>(
        &self,
        span: Duration,
        what: impl Debug,
        look: impl Fn(&Seen) -> Option<T>,
    ) -> T {
        let mut changed = self.seen.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look(&self.seen()) {
                    return found;
                }
                changed.changed().await.expect("the chronicle goes on");
            }
        };
        match tokio::time::timeout(span, found).await {
            Ok(found) => found,
            Err(_) => panic!(
                "waited in vain for {what:?}; what was seen: {}",
                self.seen().brief()
            ),
        }
    }

    /// The name of a build's pod, counted from 1, once there is one.
    pub async fn pod(&self, id: BuildId, number: usize) -> String {
        self.until(("pod", number, id), |seen| seen.pod_names(id).nth(number - 1))
            .await
    }

    /// Waits until nothing is left of a build.
    pub async fn gone(&self, id: BuildId) {
        self.until(("the end of all pods and Jobs", id), |seen| {
            seen.is_gone(id).then_some(())
        })
        .await;
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    pub fn pod_names(&self, id: BuildId) -> impl Iterator<Item = String> {
        self.pods_of(id).map(|pod| pod.object.name_any())
    }

    pub fn pods_of(&self, id: BuildId) -> impl Iterator<Item = &Entry<Pod>> {
        self.pods.iter().filter(move |entry| entry.build == id)
    }

    pub fn jobs_of(&self, id: BuildId) -> impl Iterator<Item = &Entry<Job>> {
        self.jobs.iter().filter(move |entry| entry.build == id)
    }

    /// The Job that there is.
    pub fn job(&self, id: BuildId) -> Option<&Job> {
        self.jobs_of(id)
            .find(|entry| !entry.gone)
            .map(|entry| &entry.object)
    }

    pub fn is_gone(&self, id: BuildId) -> bool {
        self.jobs_of(id).all(|entry| entry.gone) && self.pods_of(id).all(|entry| entry.gone)
    }

    fn brief(&self) -> String {
        let pods = self.pods.iter().map(|entry| {
            format!(
                "\n  {} {} gone={} deleting={}",
                entry.object.name_any(),
                phase(&entry.object),
                entry.gone,
                entry.object.metadata.deletion_timestamp.is_some()
            )
        });
        let jobs = self.jobs.iter().map(|entry| {
            let status = serde_json::to_string(&entry.object.status).unwrap_or_default();
            format!("\n  {} gone={} {status}", entry.object.name_any(), entry.gone)
        });
        jobs.chain(pods).collect()
    }

    /// Two kanikos never push at once.
    fn check(&mut self) {
        let mut live = BTreeMap::<BuildId, Vec<String>>::new();
        for entry in self
            .pods
            .iter()
            .filter(|entry| !entry.gone && !has_ended(&entry.object))
        {
            live.entry(entry.build).or_default().push(entry.object.name_any());
        }
        let at_once = live.into_values().filter(|pods| pods.len() > 1);
        self.wrongs
            .extend(at_once.map(|pods| format!("pods at once: {pods:?}")));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

async fn write_down<K>(api: Api<K>, shared: Arc<Shared>, of: fn(&mut Seen) -> &mut Vec<Entry<K>>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut feed = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = feed.next().await {
        let mut seen = shared.lock();
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                enter(of(&mut seen), object, false);
            }
            Ok(watcher::Event::Delete(object)) => enter(of(&mut seen), object, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
            // What was missed while it was broken cannot be vouched for.
            Err(error) => seen.wrongs.push(format!("the chronicle's watch broke: {error}")),
        }
        seen.check();
        drop(seen);
        shared.changed.send_replace(());
    }
}

fn enter<K: Resource>(entries: &mut Vec<Entry<K>>, object: K, gone: bool) {
    let Some(build) = object.labels().get(BUILD_ID).and_then(|id| id.parse().ok()) else {
        return;
    };
    let entry = Entry { build, object, gone };
    match entries
        .iter_mut()
        .find(|known| known.object.uid() == entry.object.uid())
    {
        Some(known) => *known = entry,
        None => entries.push(entry),
    }
}
