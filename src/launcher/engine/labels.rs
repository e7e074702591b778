//! Labels of a container, by which it is found and its parameters are read after a restart.

use std::collections::HashMap;

use jiff::SignedDuration;

use crate::domain::{BuildId, BuildSpec};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const INSTANCE: &str = "slipway.dev/instance";
const BUILD_ID: &str = "slipway.dev/build-id";
const ATTEMPT: &str = "slipway.dev/attempt";
const FIRST: &str = "slipway.dev/first-container";
const MAX_RETRIES: &str = "slipway.dev/max-retries";
const TIMEOUT: &str = "slipway.dev/timeout-seconds";

/// Label that a named volume must carry before a build may read it.
pub const CONTEXT_VOLUME: &str = "slipway.dev/context";

/// Parsed labels of one of our containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Build that the container runs.
    pub build: BuildId,
    /// Number of the attempt at that build, counted from 1.
    pub attempt: u32,
    /// Id of the first attempt's container; absent on that container itself.
    pub first: Option<String>,
    /// Number of failed attempts that are followed by another one.
    pub max_retries: u32,
    /// Timeout of the attempt.
    pub timeout: SignedDuration,
}

impl Labels {
    /// Creates the labels of an attempt at a build.
    pub fn new(build: BuildId, spec: &BuildSpec, attempt: u32, first: Option<&str>) -> Self {
        Self {
            build,
            attempt,
            first: first.map(str::to_owned),
            max_retries: spec.max_retries.get(),
            timeout: SignedDuration::from_secs(i64::from(spec.timeout_seconds.get())),
        }
    }

    /// Returns the labels as the engine stores them.
    pub fn to_map(&self, instance: &str) -> HashMap<String, String> {
        let mut map: HashMap<String, String> = [
            (MANAGED_BY, "slipway".to_owned()),
            (INSTANCE, instance.to_owned()),
            (BUILD_ID, self.build.to_string()),
            (ATTEMPT, self.attempt.to_string()),
            (MAX_RETRIES, self.max_retries.to_string()),
            (TIMEOUT, self.timeout.as_secs().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(first) = &self.first {
            map.insert(FIRST.to_owned(), first.clone());
        }
        map
    }

    /// Reads a container's labels; `None` if they are not of this instance of the service.
    pub fn read(map: &HashMap<String, String>, instance: &str) -> Option<Self> {
        let get = |key: &str| map.get(key).map(String::as_str);
        if get(MANAGED_BY) != Some("slipway") || get(INSTANCE) != Some(instance) {
            return None;
        }
        Some(Self {
            build: get(BUILD_ID)?.parse().ok()?,
            attempt: get(ATTEMPT)?.parse().ok()?,
            first: get(FIRST).map(str::to_owned),
            max_retries: get(MAX_RETRIES)?.parse().ok()?,
            timeout: SignedDuration::from_secs(get(TIMEOUT)?.parse().ok()?),
        })
    }
}

/// Returns the engine's filter for all containers of this instance.
pub fn ours(instance: &str) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{MANAGED_BY}=slipway"), format!("{INSTANCE}={instance}")];
    HashMap::from([("label".to_owned(), labels)])
}

/// Returns the engine's filter for the containers of one build.
pub fn of_build(instance: &str, build: BuildId) -> HashMap<String, Vec<String>> {
    let mut filter = ours(instance);
    filter
        .entry("label".to_owned())
        .or_default()
        .push(format!("{BUILD_ID}={build}"));
    filter
}

/// Returns the build that an event's attributes name; they contain the container's labels.
pub fn build_of(attributes: &HashMap<String, String>) -> Option<BuildId> {
    attributes.get(BUILD_ID)?.parse().ok()
}

/// Returns the name of an attempt's container. It is deterministic, so that the engine itself admits at most
/// one.
pub fn container_name(build: BuildId, attempt: u32) -> String {
    format!("{}-{attempt}", build.job_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels {
            build: BuildId::generate(),
            attempt: 2,
            first: Some("abc".into()),
            max_retries: 3,
            timeout: SignedDuration::from_secs(60),
        }
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        let labels = labels();
        assert_eq!(Labels::read(&labels.to_map("one"), "one"), Some(labels));
    }

    #[test]
    fn containers_of_another_instance_are_strangers() {
        assert_eq!(Labels::read(&labels().to_map("one"), "two"), None);
    }

    #[test]
    fn a_container_without_our_mark_is_a_stranger() {
        let mut map = labels().to_map("one");
        map.remove(MANAGED_BY);
        assert_eq!(Labels::read(&map, "one"), None);
    }
}
