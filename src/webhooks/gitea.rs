//! Parses the deliveries of Gitea and Forgejo: GitHub's payloads, and events for new and deleted refs.

use http::HeaderMap;
use serde::Deserialize;

use super::{
    Change, Content, Delivery, Malformed, Repository,
    github::{OtherBody, PushBody, RepositoryBody},
    payload,
};
use crate::domain::push::{NamedRef, RefKind};

/// Names of a host's headers.
pub(super) struct Headers {
    event: &'static str,
    delivery: &'static str,
}

pub(super) const GITEA: Headers = Headers {
    event: "x-gitea-event",
    delivery: "x-gitea-delivery",
};
pub(super) const FORGEJO: Headers = Headers {
    event: "x-forgejo-event",
    delivery: "x-forgejo-delivery",
};

/// Body of `create` and `delete`, with the ref's short name.
#[derive(Debug, Deserialize)]
struct RefBody {
    #[serde(rename = "ref")]
    name: String,
    ref_type: RefKind,
    sha: Option<String>,
    repository: RepositoryBody,
}

impl RefBody {
    fn into_parts(self, deleted: bool) -> (Content, Option<Repository>) {
        let commit = self.sha.filter(|sha| !deleted && !sha.is_empty());
        let content = match self.name.parse() {
            // Without a commit, the push that follows has the information.
            Ok(_) if !deleted && commit.is_none() => Content::Other,
            Ok(name) => {
                let reference = NamedRef {
                    kind: self.ref_type,
                    name,
                };
                Content::Changes(vec![payload::of_ref(reference, commit.as_deref(), None)])
            }
            Err(why) => Content::Changes(vec![Change::Unbuildable(format!("the ref's name {why}"))]),
        };
        (content, Some(self.repository.into()))
    }
}

pub(super) fn read(headers: &HeaderMap, body: &[u8], names: &Headers) -> Result<Delivery, Malformed> {
    let event = payload::header(headers, names.event);
    let (content, repository) = match event {
        "push" => {
            let (content, repository) = payload::json::<PushBody>(headers, body)?.into_parts();
            (content, Some(repository))
        }
        "create" | "delete" => payload::json::<RefBody>(headers, body)?.into_parts(event == "delete"),
        _ => (
            Content::Other,
            payload::json::<OtherBody>(headers, body)?.repository(),
        ),
    };
    Ok(Delivery {
        id: payload::id(headers, names.delivery),
        event: event.to_owned(),
        repository,
        content,
    })
}
