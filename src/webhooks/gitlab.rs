//! Parses GitLab's deliveries: <https://docs.gitlab.com/user/project/integrations/webhook_events/>.

use http::HeaderMap;
use serde::Deserialize;

use super::{Content, Delivery, Malformed, Repository, payload};

#[derive(Debug, Deserialize)]
struct Body {
    /// Event name; a system hook has it only in `event_name`.
    object_kind: Option<String>,
    event_name: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    after: Option<String>,
    checkout_sha: Option<String>,
    #[serde(default)]
    commits: Option<Vec<Commit>>,
    project: Option<Project>,
}

#[derive(Debug, Deserialize)]
struct Commit {
    id: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Project {
    path_with_namespace: String,
    git_http_url: Option<String>,
    default_branch: Option<String>,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    let body: Body = payload::json(headers, body)?;
    let kind = body.object_kind.as_deref().or(body.event_name.as_deref());
    let event = kind
        .unwrap_or_else(|| payload::header(headers, "x-gitlab-event"))
        .to_owned();
    let content = match (event.as_str(), &body.reference) {
        ("push" | "tag_push", Some(reference)) => {
            let gone = body
                .after
                .as_deref()
                .is_none_or(|after| after.bytes().all(|byte| byte == b'0'));
            // For an annotated tag, `after` is the tag object, and `checkout_sha` the commit.
            let commit = body
                .checkout_sha
                .as_deref()
                .or(body.after.as_deref())
                .filter(|_| !gone);
            let commits = body.commits.unwrap_or_default();
            let head = commits.into_iter().find(|one| Some(one.id.as_str()) == commit);
            let message = head.and_then(|head| head.message);
            Content::Changes(vec![payload::change(reference, commit, message)])
        }
        ("push" | "tag_push", None) => return Err(Malformed("the body has no `ref`".to_owned())),
        _ => Content::Other,
    };
    Ok(Delivery {
        // The first of the two stays the same when GitLab sends a delivery again.
        id: payload::id(headers, "idempotency-key").or_else(|| payload::id(headers, "x-gitlab-event-uuid")),
        event,
        repository: body.project.map(|project| Repository {
            name: project.path_with_namespace,
            clone_url: project.git_http_url,
            default_branch: project.default_branch,
        }),
        content,
    })
}
