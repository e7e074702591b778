//! Builds the body of a notification. It is the same for each delivery attempt: receivers recognise repeats
//! by the notification's id.

use serde_json::{Value, json};
use url::Url;

use crate::{
    domain::{
        BuildId, ImageReference,
        endpoint::{EventType, Format},
    },
    store::{Due, DueBuild, ToEndpoint},
};

/// Returns the body; `None` if the format cannot express the notification.
pub(super) fn body(due: &Due, to: &ToEndpoint, external: Option<&Url>) -> Option<Vec<u8>> {
    let value = match (&due.build, to.format) {
        (None, Format::Standard) => {
            json!({"type": due.kind, "timestamp": due.at, "data": {"endpoint_id": to.id}})
        }
        (Some(build), Format::Standard) => {
            json!({"type": due.kind, "timestamp": due.at, "data": told(due.kind, build, external)})
        }
        (None, Format::Dockerhub) => {
            let example = "registry.example/team/app:test".parse().ok()?;
            dockerhub(due, &example, "slipway")
        }
        (Some(build), Format::Dockerhub) => {
            dockerhub(due, build.spec.destinations.first(), build.spec.project.as_str())
        }
    };
    serde_json::to_vec(&value).ok()
}

/// Returns the link to a build.
pub(super) fn link(id: BuildId, external: Option<&Url>) -> Option<Url> {
    external?.join(&format!("api/v1/builds/{id}")).ok()
}

fn told(kind: EventType, build: &DueBuild, external: Option<&Url>) -> Value {
    let spec = &build.spec;
    let failure = build.failure.as_ref().map(|failure| {
        json!({
            "reason": failure.reason,
            "class": failure.reason.class(),
            "message": failure.message,
            "exit_code": failure.exit_code,
        })
    });
    json!({
        "id": build.id,
        "project": spec.project,
        "state": state(kind),
        "source": spec.source,
        "destinations": spec.destinations.iter().collect::<Vec<_>>(),
        "digest": build.digest,
        "failure": failure,
        "created_at": build.created_at,
        "url": link(build.id, external),
    })
}

/// Returns the state that the build had reached at the event.
fn state(kind: EventType) -> &'static str {
    match kind {
        EventType::Queued => "queued",
        EventType::Started => "running",
        EventType::Succeeded => "succeeded",
        EventType::Failed => "failed",
        EventType::Cancelled => "cancelled",
        EventType::Superseded => "superseded",
        EventType::Test => "test",
    }
}

/// Returns the body in Docker Hub's format for a push: of one image, the first destination's.
fn dockerhub(due: &Due, image: &ImageReference, pusher: &str) -> Value {
    let repository = image.repository();
    let path = repository.split_once('/').map_or(repository, |(_, path)| path);
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("library", path));
    json!({
        "push_data": {
            "pushed_at": due.at.as_second(),
            "images": [],
            "tag": image.tag(),
            "pusher": pusher,
        },
        "callback_url": "",
        "repository": {
            "status": "Active",
            "description": "",
            "full_description": "",
            "is_official": false,
            "is_private": true,
            "is_trusted": true,
            "name": name,
            "namespace": namespace,
            "owner": namespace,
            "repo_name": path,
            "repo_url": format!("https://{repository}"),
            "star_count": 0,
            "comment_count": 0,
            "date_created": due.build.as_ref().map_or(due.at, |build| build.created_at).as_second(),
            "dockerfile": "",
        },
    })
}
