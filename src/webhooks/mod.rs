//! Inbound webhooks: bytes and headers in, a verified and understood delivery out.
//!
//! [`verify`] comes first, over the raw bytes; nothing is parsed before. How, the trigger's provider decides.

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

/// What a host delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The host's own id of the delivery, the same when it is sent again; no signature covers it.
    pub id: Option<String>,
    /// The event as the host calls it.
    pub event: String,
    /// The repository, where the body names one.
    pub repository: Option<Repository>,
    /// What there is to do.
    pub content: Content,
}

/// The repository that a delivery speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// With its owner: `team/app`, `group/subgroup/app`, `PRJ/app`.
    pub name: String,
    /// Where it is cloned from, over HTTP.
    pub clone_url: Option<String>,
    /// The branch that is the default one.
    pub default_branch: Option<String>,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The host tries the address out.
    Ping,
    /// Refs changed.
    Changes(Vec<Change>),
    /// A call of Docker Hub's build trigger.
    Wanted(Wanted),
    /// An event that leads to nothing here.
    Other,
}

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It points at a commit now.
    Pushed(Push),
    /// It is gone.
    Deleted(NamedRef),
    /// Nothing that can be built: why, in a sentence.
    Unbuildable(String),
}

/// Why a verified body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// Reads a delivery that was verified.
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
