//! Parses GitHub's deliveries: <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

use http::HeaderMap;
use serde::Deserialize;

use super::{Content, Delivery, Malformed, Repository, payload};
use crate::domain::push::{NamedRef, RefKind};

/// Body of a push; Gitea and Forgejo send the same form.
#[derive(Debug, Deserialize)]
pub(super) struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    after: Option<String>,
    #[serde(default)]
    deleted: bool,
    head_commit: Option<Commit>,
    #[serde(default)]
    commits: Option<Vec<Commit>>,
    repository: RepositoryBody,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryBody {
    full_name: String,
    clone_url: Option<String>,
    default_branch: Option<String>,
}

impl From<RepositoryBody> for Repository {
    fn from(body: RepositoryBody) -> Self {
        Self {
            name: body.full_name,
            clone_url: body.clone_url,
            default_branch: body.default_branch,
        }
    }
}

impl PushBody {
    pub(super) fn into_parts(self) -> (Content, Repository) {
        let is_tag = matches!(
            NamedRef::of_full(&self.reference),
            Some(NamedRef {
                kind: RefKind::Tag,
                ..
            })
        );
        let after = self.after.filter(|_| !self.deleted);
        let named = after.as_deref();
        let head = self.head_commit.or_else(|| {
            self.commits?
                .into_iter()
                .find(|commit| Some(commit.id.as_str()) == named)
        });
        // For an annotated tag, `after` is the tag object, and the head is the commit.
        let commit = match &head {
            Some(head) if is_tag && after.is_some() => Some(head.id.clone()),
            _ => after,
        };
        let message = head.and_then(|head| head.message);
        let change = payload::change(&self.reference, commit.as_deref(), message);
        (Content::Changes(vec![change]), self.repository.into())
    }
}

/// Body of an event that only needs its repository.
#[derive(Debug, Deserialize)]
pub(super) struct OtherBody {
    repository: Option<RepositoryBody>,
}

impl OtherBody {
    pub(super) fn repository(self) -> Option<Repository> {
        self.repository.map(Repository::from)
    }
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    let event = payload::header(headers, "x-github-event");
    let (content, repository) = match event {
        "push" => {
            let (content, repository) = payload::json::<PushBody>(headers, body)?.into_parts();
            (content, Some(repository))
        }
        // `create` and `delete` are ignored: the push that comes with them has more information.
        other => {
            let repository = payload::json::<OtherBody>(headers, body)?.repository();
            let content = if other == "ping" {
                Content::Ping
            } else {
                Content::Other
            };
            (content, repository)
        }
    };
    Ok(Delivery {
        id: payload::id(headers, "x-github-delivery"),
        event: event.to_owned(),
        repository,
        content,
    })
}
