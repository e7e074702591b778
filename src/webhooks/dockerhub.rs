//! Parses calls of Docker Hub's build trigger, so that its callers work unchanged.

use serde::Deserialize;

use super::{Content, Delivery, Malformed};
use crate::domain::push::{NamedRef, RefKind};

/// Builds that such a call requests. It names no commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All rules that name one ref.
    Everything,
    /// The rules that match this ref.
    Ref(NamedRef),
    /// The rule whose image has this tag.
    Tag(String),
}

#[derive(Debug, Default, Deserialize)]
struct Body {
    source_type: Option<SourceType>,
    source_name: Option<String>,
    docker_tag: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum SourceType {
    #[serde(alias = "branch")]
    Branch,
    #[serde(alias = "tag")]
    Tag,
}

pub(super) fn read(body: &[u8]) -> Result<Delivery, Malformed> {
    let body: Body = if body.trim_ascii().is_empty() {
        Body::default()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Malformed(format!("the body cannot be read: {error}")))?
    };
    let wanted = match body {
        Body {
            source_type: Some(kind),
            source_name: Some(name),
            docker_tag: None,
        } => Wanted::Ref(NamedRef {
            kind: match kind {
                SourceType::Branch => RefKind::Branch,
                SourceType::Tag => RefKind::Tag,
            },
            name: name
                .parse()
                .map_err(|why| Malformed(format!("`source_name` {why}")))?,
        }),
        Body {
            source_type: None,
            source_name: None,
            docker_tag: Some(tag),
        } => Wanted::Tag(tag),
        Body {
            source_type: None,
            source_name: None,
            docker_tag: None,
        } => Wanted::Everything,
        _ => {
            return Err(Malformed(
                "the body must have `source_type` and `source_name`, or `docker_tag`, or nothing".to_owned(),
            ));
        }
    };
    Ok(Delivery {
        id: None,
        event: "trigger".to_owned(),
        repository: None,
        content: Content::Wanted(wanted),
    })
}
