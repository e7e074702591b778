//! Parses Bitbucket Data Center's deliveries:
//! <https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html>. They contain no reliable
//! address to clone from.

use http::HeaderMap;
use serde::Deserialize;

use super::{Change, Content, Delivery, Malformed, Repository, payload};

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    changes: Vec<ChangeBody>,
    repository: RepositoryBody,
    #[serde(rename = "toCommit")]
    to_commit: Option<Commit>,
}

#[derive(Debug, Deserialize)]
struct ChangeBody {
    #[serde(rename = "ref")]
    reference: RefBody,
    #[serde(rename = "toHash")]
    to: String,
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Add,
    Update,
    Delete,
}

#[derive(Debug, Deserialize)]
struct RefBody {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RepositoryBody {
    slug: String,
    project: Project,
}

#[derive(Debug, Deserialize)]
struct Project {
    key: String,
}

impl ChangeBody {
    fn read(self, head: Option<&Commit>) -> Change {
        let commit = (self.kind != Kind::Delete).then_some(self.to.as_str());
        let message = head
            .filter(|head| Some(head.id.as_str()) == commit)
            .and_then(|head| head.message.clone());
        payload::change(&self.reference.id, commit, message)
    }
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    let event = payload::header(headers, "x-event-key").to_owned();
    let id = payload::id(headers, "x-request-id");
    if event == "diagnostics:ping" {
        return Ok(Delivery {
            id,
            event,
            repository: None,
            content: Content::Ping,
        });
    }
    let body: Body = payload::json(headers, body)?;
    let head = body.to_commit.as_ref();
    let content = match event.as_str() {
        "repo:refs_changed" => {
            Content::Changes(body.changes.into_iter().map(|change| change.read(head)).collect())
        }
        _ => Content::Other,
    };
    Ok(Delivery {
        id,
        event,
        repository: Some(Repository {
            name: format!("{}/{}", body.repository.project.key, body.repository.slug),
            clone_url: None,
            default_branch: None,
        }),
        content,
    })
}
