//! Copy of the cluster's objects of one kind, by build, kept up to date by a watch.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kube::{Resource, ResourceExt, runtime::watcher::Event};

use crate::{domain::BuildId, launcher::Change};

type Objects<K> = HashMap<BuildId, BTreeMap<String, Arc<K>>>;

/// Objects of one kind, by build.
pub(super) struct Mirror<K> {
    build_of: fn(&K) -> Option<BuildId>,
    objects: Objects<K>,
    listing: Objects<K>,
    complete: bool,
    broken: bool,
}

impl<K: Resource> Mirror<K> {
    /// Creates an empty mirror; `build_of` returns the build that an object belongs to.
    pub(super) fn new(build_of: fn(&K) -> Option<BuildId>) -> Self {
        Self {
            build_of,
            objects: HashMap::new(),
            listing: HashMap::new(),
            complete: false,
            broken: false,
        }
    }

    /// Returns true if the copy counts as current: a list was complete, and the watch has continued since.
    pub(super) fn is_current(&self) -> bool {
        self.complete && !self.broken
    }

    /// Marks the watch as broken: until its next event, changes may have been missed.
    pub(super) fn breaks(&mut self) {
        self.broken = true;
    }

    pub(super) fn of(&self, id: BuildId) -> impl Iterator<Item = &Arc<K>> {
        self.objects.get(&id).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn builds(&self) -> impl Iterator<Item = BuildId> {
        self.objects.keys().copied()
    }

    /// Applies an event of the watch. Returns what it may have changed.
    pub(super) fn apply(&mut self, event: Event<K>) -> Option<Change> {
        self.broken = false;
        match event {
            Event::Apply(object) => {
                let id = (self.build_of)(&object)?;
                put(&mut self.objects, id, object);
                Some(Change::Build(id))
            }
            Event::Delete(object) => {
                let id = (self.build_of)(&object)?;
                self.take(id, &object.name_any());
                Some(Change::Build(id))
            }
            Event::Init => {
                self.listing.clear();
                None
            }
            Event::InitApply(object) => {
                let id = (self.build_of)(&object)?;
                put(&mut self.listing, id, object);
                None
            }
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.listing);
                self.complete = true;
                Some(Change::Everything)
            }
        }
    }

    fn take(&mut self, id: BuildId, name: &str) {
        if let Some(objects) = self.objects.get_mut(&id) {
            objects.remove(name);
            if objects.is_empty() {
                self.objects.remove(&id);
            }
        }
    }
}

fn put<K: Resource>(objects: &mut Objects<K>, id: BuildId, object: K) {
    objects
        .entry(id)
        .or_default()
        .insert(object.name_any(), Arc::new(object));
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(id: BuildId, name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some(id.to_string());
        pod
    }

    fn mirror() -> Mirror<Pod> {
        Mirror::new(|pod| pod.metadata.namespace.as_ref()?.parse().ok())
    }

    fn names(mirror: &Mirror<Pod>, id: BuildId) -> Vec<String> {
        mirror.of(id).map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn a_list_takes_the_place_of_all_that_was_there_and_only_once_it_is_complete() {
        let (one, two) = (BuildId::generate(), BuildId::generate());
        let mut mirror = mirror();
        assert!(!mirror.is_current());
        assert_eq!(
            mirror.apply(Event::Apply(pod(one, "a"))),
            Some(Change::Build(one))
        );
        assert_eq!(mirror.apply(Event::Init), None);
        assert_eq!(mirror.apply(Event::InitApply(pod(two, "b"))), None);
        assert_eq!(
            (names(&mirror, one), names(&mirror, two)),
            (vec!["a".to_owned()], vec![])
        );
        assert_eq!(mirror.apply(Event::InitDone), Some(Change::Everything));
        assert_eq!(
            (names(&mirror, one), names(&mirror, two)),
            (vec![], vec!["b".to_owned()])
        );
        assert!(mirror.is_current());
    }

    #[test]
    fn what_a_broken_watch_left_is_not_current_until_it_goes_on() {
        let id = BuildId::generate();
        let mut mirror = mirror();
        mirror.apply(Event::InitDone);
        mirror.breaks();
        assert!(!mirror.is_current());
        mirror.apply(Event::Apply(pod(id, "a")));
        assert!(mirror.is_current());
    }

    #[test]
    fn a_build_is_gone_with_its_last_object() {
        let id = BuildId::generate();
        let mut mirror = mirror();
        mirror.apply(Event::Apply(pod(id, "a")));
        mirror.apply(Event::Apply(pod(id, "b")));
        assert_eq!(mirror.apply(Event::Delete(pod(id, "a"))), Some(Change::Build(id)));
        assert_eq!(mirror.builds().collect::<Vec<_>>(), [id]);
        mirror.apply(Event::Delete(pod(id, "b")));
        assert_eq!(mirror.builds().count(), 0);
    }

    #[test]
    fn what_belongs_to_no_build_is_passed_over() {
        let mut mirror = mirror();
        assert_eq!(mirror.apply(Event::Apply(Pod::default())), None);
        assert_eq!(mirror.builds().count(), 0);
    }
}
