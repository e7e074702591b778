//! Parses Bitbucket Cloud's deliveries: <https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/>.
//! One delivery may contain many refs.

use http::HeaderMap;
use serde::Deserialize;

use super::{Change, Content, Delivery, Malformed, Repository, payload};
use crate::domain::push::{NamedRef, RefKind};

#[derive(Debug, Deserialize)]
struct Body {
    push: Option<Pushed>,
    repository: RepositoryBody,
}

#[derive(Debug, Deserialize)]
struct Pushed {
    changes: Vec<ChangeBody>,
}

#[derive(Debug, Deserialize)]
struct ChangeBody {
    old: Option<RefBody>,
    new: Option<RefBody>,
}

#[derive(Debug, Deserialize)]
struct RefBody {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    hash: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RepositoryBody {
    full_name: String,
    links: Option<Links>,
    mainbranch: Option<Branch>,
}

#[derive(Debug, Deserialize)]
struct Links {
    html: Option<Link>,
}

#[derive(Debug, Deserialize)]
struct Link {
    href: String,
}

#[derive(Debug, Deserialize)]
struct Branch {
    name: String,
}

impl ChangeBody {
    fn read(self) -> Change {
        let gone = self.new.is_none();
        let Some(body) = self.new.or(self.old) else {
            return Change::Unbuildable("a change names no ref".to_owned());
        };
        let kind = match body.kind.as_str() {
            "tag" => RefKind::Tag,
            "branch" | "named_branch" => RefKind::Branch,
            other => return Change::Unbuildable(format!("{other:?} is neither a branch nor a tag")),
        };
        let name = match body.name.parse() {
            Ok(name) => name,
            Err(why) => return Change::Unbuildable(format!("the ref's name {why}")),
        };
        let reference = NamedRef { kind, name };
        match body.target.filter(|_| !gone) {
            Some(target) => payload::of_ref(reference, Some(&target.hash), target.message),
            None if gone => Change::Deleted(reference),
            None => Change::Unbuildable("the change names no commit".to_owned()),
        }
    }
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    let event = payload::header(headers, "x-event-key");
    let body: Body = payload::json(headers, body)?;
    let content = match (event, body.push) {
        ("repo:push", Some(push)) => {
            Content::Changes(push.changes.into_iter().map(ChangeBody::read).collect())
        }
        ("repo:push", None) => return Err(Malformed("the body has no `push`".to_owned())),
        ("diagnostics:ping", _) => Content::Ping,
        _ => Content::Other,
    };
    let html = body.repository.links.and_then(|links| links.html);
    Ok(Delivery {
        id: payload::id(headers, "x-request-uuid"),
        event: event.to_owned(),
        repository: Some(Repository {
            name: body.repository.full_name,
            clone_url: html.map(|html| format!("{}.git", html.href.trim_end_matches('/'))),
            default_branch: body.repository.mainbranch.map(|branch| branch.name),
        }),
        content,
    })
}
