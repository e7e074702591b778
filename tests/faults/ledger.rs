//! Everything that is ever to be seen of Jobs and Pods in a namespace, written down from the beginning by a watch that
//! no fault of the service's concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use slipway::{domain::BuildId, launcher::manifest::BUILD_ID};
use tokio::task::JoinHandle;

/// The objects of one kind, by their uids: as they were last, and whether they are gone.
struct Book<K> {
    entries: BTreeMap<String, Entry<K>>,
    listed: BTreeSet<String>,
}

/// One object.
#[derive(Clone)]
pub struct Entry<K> {
    pub build: BuildId,
    pub last: K,
    pub gone: bool,
}

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

#[derive(Default)]
struct Pages {
    jobs: Book<Job>,
    pods: Book<Pod>,
    wrongs: Vec<String>,
}

/// The ledger. Ends when dropped.
pub struct Ledger {
    pages: Arc<Mutex<Pages>>,
    tasks: [JoinHandle<()>; 2],
}

impl Ledger {
    /// Written from now on.
    pub fn open(jobs: Api<Job>, pods: Api<Pod>) -> Self {
        let pages = Arc::new(Mutex::<Pages>::default());
        let tasks = [
            tokio::spawn(write(jobs, Arc::clone(&pages), |pages| &mut pages.jobs)),
            tokio::spawn(write(pods, Arc::clone(&pages), |pages| &mut pages.pods)),
        ];
        Self { pages, tasks }
    }

    /// The Jobs that a build ever had.
    pub fn jobs(&self, build: BuildId) -> Vec<Entry<Job>> {
        self.pages().jobs.of(build)
    }

    /// The pods that a build ever had.
    pub fn pods(&self, build: BuildId) -> Vec<Entry<Pod>> {
        self.pages().pods.of(build)
    }

    /// What was never to be seen, and was.
    pub fn wrongs(&self) -> Vec<String> {
        self.pages().wrongs.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone> Book<K> {
    fn of(&self, build: BuildId) -> Vec<Entry<K>> {
        let entries = self.entries.values().filter(|entry| entry.build == build);
        entries.cloned().collect()
    }
}

impl<K: Resource + Clone> Book<K> {
    fn enter(&mut self, object: K, gone: bool) {
        let build = object.labels().get(BUILD_ID).and_then(|id| id.parse().ok());
        if let (Some(build), Some(uid)) = (build, object.uid()) {
            let last = object;
            self.listed.insert(uid.clone());
            self.entries.insert(uid, Entry { build, last, gone });
        }
    }

    fn apply(&mut self, event: watcher::Event<K>) {
        match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => self.enter(object, false),
            watcher::Event::Delete(object) => self.enter(object, true),
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitDone => {
                for (uid, entry) in &mut self.entries {
                    entry.gone |= !self.listed.contains(uid);
                }
            }
        }
    }
}

async fn write<K>(api: Api<K>, pages: Arc<Mutex<Pages>>, book: fn(&mut Pages) -> &mut Book<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        // Whatever was missed is listed again.
        let Ok(event) = event else { continue };
        let mut pages = lock(&pages);
        book(&mut pages).apply(event);
        pages.two_at_once();
    }
}

impl Pages {
    /// Two pods of a build that run at the same time may both push.
    fn two_at_once(&mut self) {
        let mut running = BTreeMap::<BuildId, Vec<String>>::new();
        for entry in self
            .pods
            .entries
            .values()
            .filter(|entry| !entry.gone && runs(&entry.last))
        {
            running
                .entry(entry.build)
                .or_default()
                .push(entry.last.name_any());
        }
        for (build, pods) in running.into_iter().filter(|(_, pods)| pods.len() > 1) {
            let wrong = format!("{build} had pods that ran at once: {}", pods.join(", "));
            if !self.wrongs.contains(&wrong) {
                self.wrongs.push(wrong);
            }
        }
    }
}

/// Whether one of a pod's containers runs, as far as its node has said.
pub fn runs(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter_map(|status| status.state.as_ref())
        .any(|state| state.running.is_some())
}

/// When the last of a pod's containers ended.
pub fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let ends = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ends.map(|time| time.0).max()
}
