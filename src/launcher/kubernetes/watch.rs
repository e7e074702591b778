//! Watches Jobs, Pods and Events, keeps copies of them, and reports which builds to observe.

use std::sync::{Arc, Mutex, MutexGuard};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::mirror::Mirror;
use crate::{
    domain::BuildId,
    launcher::{
        Change,
        manifest::{BUILD_ID, selector},
        outcome::may_count_twice,
    },
};

/// Objects of one build.
pub(super) struct Seen {
    pub(super) job: Option<Arc<Job>>,
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) events: Vec<Event>,
}

impl Seen {
    /// Returns true if nothing is left that could push.
    pub(super) fn is_gone(&self) -> bool {
        self.job.is_none() && self.pods.is_empty()
    }

    /// Returns true if the result could be wrong in a watch that trails.
    pub(super) fn may_mislead(&self) -> bool {
        self.job
            .as_ref()
            .is_some_and(|job| may_count_twice(job, &self.pods))
    }
}

/// Copies of the watched objects, present while a watch runs.
#[derive(Default)]
pub(super) struct Watched(Mutex<Option<Mirrors>>);

struct Mirrors {
    watch: u64,
    jobs: Mirror<Job>,
    pods: Mirror<Pod>,
    events: Mirror<Event>,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Option<Mirrors>> {
        // After a panic the copy is at worst stale, and a watched copy may be stale at any time.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the objects of a build; `None` before all objects were listed, and unless the watches run.
    pub(super) fn seen(&self, id: BuildId) -> Option<Seen> {
        let guard = self.lock();
        let mirrors = guard.as_ref().filter(|mirrors| mirrors.are_current())?;
        Some(Seen {
            job: mirrors.jobs.of(id).next().cloned(),
            pods: mirrors.pods.of(id).cloned().collect(),
            events: mirrors.events.of(id).map(|event| Event::clone(event)).collect(),
        })
    }

    /// Returns the builds that have objects; `None` before all objects were listed, and unless the watches
    /// run.
    pub(super) fn builds(&self) -> Option<Vec<BuildId>> {
        let guard = self.lock();
        let mirrors = guard.as_ref().filter(|mirrors| mirrors.are_current())?;
        let mut builds: Vec<BuildId> = mirrors.jobs.builds().chain(mirrors.pods.builds()).collect();
        builds.sort_unstable();
        builds.dedup();
        Some(builds)
    }

    /// Begins a new watch. An earlier one does not update the copies any more.
    fn begin(&self) -> u64 {
        let mut guard = self.lock();
        let watch = guard.as_ref().map_or(0, |mirrors| mirrors.watch) + 1;
        *guard = Some(Mirrors {
            watch,
            jobs: Mirror::new(labelled),
            pods: Mirror::new(labelled),
            events: Mirror::new(about),
        });
        watch
    }
}

impl Mirrors {
    fn are_current(&self) -> bool {
        self.jobs.is_current() && self.pods.is_current()
    }
}

/// Guard of a watch, which ends when this is dropped: its copies must not count as current any longer.
struct Ends {
    watched: Arc<Watched>,
    watch: u64,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let mut guard = self.watched.lock();
        if guard.as_ref().is_some_and(|mirrors| mirrors.watch == self.watch) {
            *guard = None;
        }
    }
}

fn labelled<K: Resource>(object: &K) -> Option<BuildId> {
    object.labels().get(BUILD_ID)?.parse().ok()
}

/// Returns the build of an Event. Events carry no labels, but the name of their Job or Pod begins with the
/// Job's name.
fn about(event: &Event) -> Option<BuildId> {
    const NAME: usize = "build-".len() + 36;
    BuildId::from_job_name(event.involved_object.name.as_deref()?.get(..NAME)?)
}

/// Starts the watches, which run for as long as the stream is kept and read.
pub(super) fn changes(
    jobs: &Api<Job>,
    pods: &Api<Pod>,
    events: &Api<Event>,
    watched: &Arc<Watched>,
    watch_seconds: u32,
) -> BoxStream<'static, Change> {
    let ends = Ends {
        watched: Arc::clone(watched),
        watch: watched.begin(),
    };
    let watch = watcher::Config::default().timeout(watch_seconds);
    let ours = watch.clone().labels(&selector());
    // Only warnings: the objects themselves show what succeeded.
    let warnings = watch.fields("type=Warning");
    let all = stream::select_all([
        feed(jobs, ours.clone(), watched, ends.watch, |mirrors| {
            &mut mirrors.jobs
        }),
        feed(pods, ours, watched, ends.watch, |mirrors| &mut mirrors.pods),
        feed(events, warnings, watched, ends.watch, |mirrors| {
            &mut mirrors.events
        }),
    ]);
    all.map(move |change| {
        let _lives_as_long_as_the_stream = &ends;
        change
    })
    .boxed()
}

fn feed<K>(
    api: &Api<K>,
    config: watcher::Config,
    watched: &Arc<Watched>,
    watch: u64,
    mirror: fn(&mut Mirrors) -> &mut Mirror<K>,
) -> BoxStream<'static, Change>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let watched = Arc::clone(watched);
    read(api, config)
        .filter_map(move |event| {
            let mut guard = watched.lock();
            let mirrors = guard.as_mut().filter(|mirrors| mirrors.watch == watch);
            let change = mirrors.and_then(|mirrors| match event {
                Ok(event) => mirror(mirrors).apply(event),
                Err(Broken) => {
                    mirror(mirrors).breaks();
                    None
                }
            });
            futures::future::ready(change)
        })
        .boxed()
}

/// Error of a watch that broke.
struct Broken;

/// Returns a watch that is resumed after every break, with backoff.
fn read<K>(
    api: &Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<watcher::Event<K>, Broken>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let api = api.clone();
    stream::repeat_with(move || from_a_list_on(&api, &config)).flatten()
}

/// Returns a watch that begins with a list. It ends if only a new one can continue it: the watcher recognises
/// an expired version in an event, but not in an HTTP status.
fn from_a_list_on<K>(
    api: &Api<K>,
    config: &watcher::Config,
) -> impl Stream<Item = Result<watcher::Event<K>, Broken>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut expired = false;
    watcher(api.clone(), config.clone())
        // The managed fields are a third of each object, and are not used.
        .modify(|object| object.managed_fields_mut().clear())
        .default_backoff()
        .take_while(move |event| {
            let before = std::mem::replace(&mut expired, event.as_ref().is_err_and(is_expired));
            futures::future::ready(!before)
        })
        .map(|event| {
            event.map_err(|error| {
                warn!(kind = %K::kind(&()), %error, "the watch broke and is taken up again");
                Broken
            })
        })
}

fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_belong_to_the_build_that_their_object_is_named_after() {
        let id = BuildId::generate();
        let named = |name: String| {
            let mut event = Event::default();
            event.involved_object.name = Some(name);
            about(&event)
        };
        assert_eq!(named(id.job_name()), Some(id));
        assert_eq!(named(format!("{}-x7k2p", id.job_name())), Some(id));
        assert_eq!(
            named("build-something-else-that-is-longer-than-forty-two-letters".into()),
            None
        );
        assert_eq!(named("node-1".into()), None);
    }

    #[test]
    fn nothing_is_known_before_the_first_lists_are_complete_nor_after_the_watch_has_ended() {
        let watched = Arc::new(Watched::default());
        let id = BuildId::generate();
        assert!(watched.seen(id).is_none());
        let ends = Ends {
            watched: Arc::clone(&watched),
            watch: watched.begin(),
        };
        let complete = |jobs: bool| {
            let mut guard = watched.lock();
            let mirrors = guard.as_mut().expect("the watch has begun");
            if jobs {
                mirrors.jobs.apply(watcher::Event::InitDone);
            } else {
                mirrors.pods.apply(watcher::Event::InitDone);
            }
        };
        complete(true);
        assert!(watched.seen(id).is_none() && watched.builds().is_none());
        complete(false);
        assert!(watched.seen(id).is_some_and(|seen| seen.is_gone()));
        assert_eq!(watched.builds(), Some(vec![]));
        drop(ends);
        assert!(watched.seen(id).is_none());
    }

    #[test]
    fn the_end_of_an_older_watch_does_not_end_the_newer() {
        let watched = Arc::new(Watched::default());
        let older = Ends {
            watched: Arc::clone(&watched),
            watch: watched.begin(),
        };
        let newer = Ends {
            watched: Arc::clone(&watched),
            watch: watched.begin(),
        };
        drop(older);
        assert!(watched.lock().is_some());
        drop(newer);
        assert!(watched.lock().is_none());
    }
}
