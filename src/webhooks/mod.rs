//! Verifies and parses inbound webhooks.
//!
//! [`verify`] comes first and works on the raw bytes; nothing is parsed before. The trigger's provider
//! determines the method.

mod bitbucket_cloud;
mod bitbucket_dc;
mod dockerhub;
mod generic;
mod gitea;
mod github;
mod gitlab;
mod payload;
mod verify;

use http::HeaderMap;

pub use self::{
    dockerhub::Wanted,
    verify::{Call, Refused, verify},
};
use crate::domain::{
    provider::Provider,
    push::{NamedRef, Push},
};

/// A parsed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The host's id of the delivery, which a redelivery repeats; no signature covers it.
    pub id: Option<String>,
    /// Event, by the host's name for it.
    pub event: String,
    /// Repository, if the body names one.
    pub repository: Option<Repository>,
    /// Content of the delivery.
    pub content: Content,
}

/// Repository that a delivery names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Name with the owner: `team/app`, `group/subgroup/app`, `PRJ/app`.
    pub name: String,
    /// Address to clone from over HTTP.
    pub clone_url: Option<String>,
    /// Name of the default branch.
    pub default_branch: Option<String>,
}

/// Content of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A test of the address by the host.
    Ping,
    /// Changes of refs.
    Changes(Vec<Change>),
    /// A call of Docker Hub's build trigger.
    Wanted(Wanted),
    /// An event that this service ignores.
    Other,
}

/// Change of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The ref points at a new commit.
    Pushed(Push),
    /// The ref was deleted.
    Deleted(NamedRef),
    /// The ref cannot be built; the text is the reason.
    Unbuildable(String),
}

/// Reason why a verified body cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// Parses a verified delivery.
///
/// # Errors
/// When the body is not what the provider sends for the event.
pub fn read(provider: Provider, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Malformed> {
    match provider {
        Provider::Github => github::read(headers, body),
        Provider::Gitlab => gitlab::read(headers, body),
        Provider::Gitea => gitea::read(headers, body, &gitea::GITEA),
        Provider::Forgejo => gitea::read(headers, body, &gitea::FORGEJO),
        Provider::BitbucketCloud => bitbucket_cloud::read(headers, body),
        Provider::BitbucketDc => bitbucket_dc::read(headers, body),
        Provider::Generic => generic::read(headers, body),
        Provider::Dockerhub => dockerhub::read(body),
    }
}

#[cfg(test)]
mod tests;
