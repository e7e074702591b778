//! Tests of the store's methods against a real Postgres.

mod claims;
mod counts;
mod creating;
mod events;
mod fairness;
mod fencing;
mod held;
mod lifecycle;
mod logs;
mod own;
mod places;
mod plan;
mod quotas;
mod reading;
mod retention;
mod sessions;
mod shares;
mod sightings;
mod steps;
mod supersede;
mod together;
mod watching;

use std::time::Duration;

use sqlx::PgPool;

use super::*;
use crate::domain::{
    AttemptSeen, Build, BuildId, BuildSpec, NewBuild, Outcome, Phase, ProjectName, build::Idempotency,
    spec::Priority,
};

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const PLENTY: Slots = Slots {
    total: 1000,
    per_project: 1000,
};

/// Returns a store that uses a test's own database.
pub(super) fn store(pool: &PgPool) -> Store {
    Store::over(pool.clone(), pool.clone(), true)
}

/// Returns a handle for creation whose batcher runs until the test ends.
pub(super) fn creator(store: &Store) -> Creator {
    let (creator, batcher) = store.creator(1024);
    tokio::spawn(batcher);
    creator
}

pub(super) fn spec(project: &str) -> BuildSpec {
    serde_json::from_value(serde_json::json!({
        "project": project,
        "source": {"git": {"url": "https://git.example.com/app.git", "ref": "main"}},
        "destinations": ["registry.example.com/team/app:1"],
    }))
    .expect("the spec is valid")
}

pub(super) fn new_build(project: &str) -> NewBuild {
    NewBuild {
        id: BuildId::generate(),
        spec: spec(project),
        rebuild_of: None,
        idempotency: None,
    }
}

pub(super) fn keyed(project: &str, key: &str, request: u8) -> NewBuild {
    NewBuild {
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            request_sha256: [request; 32],
        }),
        ..new_build(project)
    }
}

/// Stores a build without a batch.
pub(super) async fn created(store: &Store, build: NewBuild) -> Build {
    let (creator, batcher) = store.creator(1);
    let batcher = tokio::spawn(batcher);
    let created = creator.create(build).await.expect("the build is stored");
    drop(creator);
    batcher.await.expect("the batcher ends");
    match created {
        Created::New(build) | Created::Repeated(build) => build,
    }
}

pub(super) async fn queued(store: &Store, project: &str, priority: i64) -> BuildId {
    let mut build = new_build(project);
    build.spec.priority = Priority::try_from(priority).expect("a valid priority");
    created(store, build).await.id
}

/// Creates, claims and launches a build.
pub(super) async fn running(store: &Store, project: &str) -> BuildId {
    let id = queued(store, project, 0).await;
    let claim = store
        .claim(PLENTY, LEASE, 1000)
        .await
        .expect("claims")
        .into_iter()
        .find(|claim| claim.id == id)
        .expect("the build is claimed");
    assert!(store.launched(id, claim.token, "uid-1").await.expect("recorded"));
    id
}

/// Returns a running pod, as a launcher observes it.
pub(super) fn running_pod(name: &str) -> AttemptSeen {
    AttemptSeen {
        name: name.to_owned(),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    }
}

pub(super) async fn get(store: &Store, id: BuildId) -> Build {
    store.build(id).await.expect("readable").expect("there")
}

/// Returns the states that a build went through.
pub(super) async fn history(store: &Store, id: BuildId) -> Vec<String> {
    let events = store.events(id).await.expect("readable");
    events
        .into_iter()
        .map(|event| {
            let crate::domain::EventKind::State(state) = event.kind;
            state.to_string()
        })
        .collect()
}
