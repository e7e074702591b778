//! Observations from two watches that are not equally up to date.

use futures::StreamExt;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// A Job that fails, and has counted its one pod.
fn job(id: BuildId) -> Value {
    json!({
        "metadata": {"name": id.job_name(), "uid": "job-1", "labels": labels(id)},
        "spec": {"template": {}},
        "status": {
            "failed": 1,
            "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}],
        },
    })
}

/// Pod of the Job, which carries the Job's finalizer until it is counted.
fn pod(id: BuildId, counted: bool) -> Value {
    let finalizers = if counted {
        json!([])
    } else {
        json!(["batch.kubernetes.io/job-tracking"])
    };
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    json!({
        "metadata": {"name": "pod-1", "uid": "pod-1", "labels": labels(id), "finalizers": finalizers},
        "status": {
            "phase": "Failed",
            "containerStatuses": [
                {"name": "kaniko", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended},
            ],
        },
    })
}

fn labels(id: BuildId) -> Value {
    json!({MANAGED_BY.0: MANAGED_BY.1, BUILD_ID: id.to_string()})
}

fn list(items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": "1"}, "items": items})
}

/// API server that lists past objects for a watch and current ones for a direct read.
async fn answer(id: BuildId, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
    if query.contains("watch=true") {
        return std::future::pending().await;
    }
    let one_build = query.contains(&id.to_string());
    let of = |kind: &str| path.ends_with(kind);
    let body = if of("/pods") {
        list(&[pod(id, one_build)]).to_string()
    } else if of("/jobs") {
        list(&[job(id)]).to_string()
    } else if of("/events") {
        list(&[]).to_string()
    } else if of("/log") {
        String::new()
    } else {
        job(id).to_string()
    };
    Ok(Response::new(body.into_bytes().into()))
}

#[tokio::test]
async fn a_pod_that_its_watch_shows_late_is_not_counted_once_more() {
    let id = BuildId::generate();
    let server = tower::service_fn(move |request| answer(id, request));
    let launcher = Kubernetes::new(Client::new(server, "builds"), KubernetesOptions::default());
    let mut changes = launcher.changes();
    while launcher.watched.seen(id).is_none() {
        changes.next().await;
    }
    let seen = launcher.look(id).await.unwrap().unwrap();
    assert!(matches!(seen.outcome, Outcome::Failed(_)), "{seen:?}");
    assert_eq!(seen.failed_attempts, 1);
}
