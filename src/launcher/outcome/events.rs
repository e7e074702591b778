//! The Events about one object, oldest first.

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Event, ObjectReference, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// The Events about one object, oldest first.
pub(super) struct Events<'a>(Vec<&'a Event>);

impl<'a> Events<'a> {
    pub(super) fn of_pod(events: &'a [Event], pod: &Pod) -> Self {
        Self::about(events, "Pod", &pod.metadata)
    }

    pub(super) fn of_job(events: &'a [Event], job: &Job) -> Self {
        Self::about(events, "Job", &job.metadata)
    }

    fn about(events: &'a [Event], kind: &str, object: &ObjectMeta) -> Self {
        let mut found: Vec<&Event> = events
            .iter()
            .filter(|event| is_about(&event.involved_object, kind, object))
            .collect();
        found.sort_by_key(|event| at(event));
        Self(found)
    }

    /// Returns the latest Event whose reason and message are accepted.
    pub(super) fn last(&self, accept: impl Fn(&str, &str) -> bool) -> Option<&'a Event> {
        self.0
            .iter()
            .rev()
            .find(|event| accept(event.reason.as_deref().unwrap_or_default(), words(event)))
            .copied()
    }
}

/// Returns an Event's message.
pub(super) fn words(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default()
}

/// Returns the time at which an Event was last observed. The scheduler's Events have no `lastTimestamp`.
pub(super) fn at(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    series
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.first_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Returns true if an Event is about the object. A name may have been used before: if both sides have a uid,
/// that decides.
fn is_about(reference: &ObjectReference, kind: &str, object: &ObjectMeta) -> bool {
    if reference.kind.as_deref().is_some_and(|found| found != kind) {
        return false;
    }
    match (&reference.uid, &object.uid) {
        (Some(one), Some(other)) => one == other,
        _ => reference.name.is_some() && reference.name == object.name,
    }
}
