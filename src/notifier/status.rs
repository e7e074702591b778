//! Builds commit statuses in the format of each kind of git host.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::client::Request;
use crate::{
    domain::{commit_status::StatusTarget, endpoint::EventType, provider::Provider},
    store::DueBuild,
};

/// Upper bound of a description's characters that all hosts accept.
const DESCRIPTION: usize = 140;

/// Content of a commit status.
pub(super) struct StatusRequest<'a> {
    pub(super) target: &'a StatusTarget,
    pub(super) kind: EventType,
    pub(super) build: &'a DueBuild,
    /// Link to the build.
    pub(super) link: Option<&'a Url>,
}

/// Returns the request that sets the status. The error states why there is none.
pub(super) fn request(wanted: &StatusRequest<'_>, token: &SecretString) -> Result<Request, String> {
    let target = wanted.target;
    let commit = target.commit.as_str();
    let repository = target.repository.split('/');
    let (path, body): (Vec<&str>, Value) = match target.provider {
        Provider::Github | Provider::Gitea | Provider::Forgejo => {
            let path = ["repos"]
                .into_iter()
                .chain(repository)
                .chain(["statuses", commit]);
            (path.collect(), github(wanted))
        }
        Provider::Gitlab => {
            let path = ["projects", target.repository.as_str(), "statuses", commit];
            (path.to_vec(), gitlab(wanted))
        }
        Provider::BitbucketCloud => {
            let path = ["repositories"].into_iter().chain(repository);
            let path = path.chain(["commit", commit, "statuses", "build"]);
            (path.collect(), bitbucket(wanted)?)
        }
        Provider::BitbucketDc => {
            let path = ["build-status", "1.0", "commits", commit];
            (path.to_vec(), bitbucket(wanted)?)
        }
        Provider::Generic | Provider::Dockerhub => {
            return Err("this kind of host has no statuses".to_owned());
        }
    };
    let mut url = target.api_url.parsed();
    url.path_segments_mut()
        .map_err(|()| "its address has no path".to_owned())?
        .pop_if_empty()
        .extend(path);
    Ok(Request {
        url,
        headers: headers(target.provider, token)?,
        body: body.to_string().into_bytes(),
    })
}

fn headers(provider: Provider, token: &SecretString) -> Result<HeaderMap, String> {
    let token = token.expose_secret();
    let (name, value) = match provider {
        Provider::Gitlab => (HeaderName::from_static("private-token"), token.to_owned()),
        Provider::Gitea | Provider::Forgejo => (header::AUTHORIZATION, format!("token {token}")),
        _ => (header::AUTHORIZATION, format!("Bearer {token}")),
    };
    let mut value =
        HeaderValue::try_from(value).map_err(|_| "its token is none that a header can hold".to_owned())?;
    value.set_sensitive(true);
    let json = HeaderValue::from_static("application/json");
    Ok(HeaderMap::from_iter([
        (name, value),
        (header::CONTENT_TYPE, json.clone()),
        (header::ACCEPT, json),
    ]))
}

fn github(wanted: &StatusRequest<'_>) -> Value {
    let state = match wanted.kind {
        EventType::Succeeded => "success",
        EventType::Failed => "failure",
        EventType::Cancelled | EventType::Superseded => "error",
        EventType::Queued | EventType::Started | EventType::Test => "pending",
    };
    json!({
        "state": state,
        "context": wanted.target.context,
        "description": description(wanted),
        "target_url": wanted.link,
    })
}

fn gitlab(wanted: &StatusRequest<'_>) -> Value {
    let state = match wanted.kind {
        EventType::Queued | EventType::Test => "pending",
        EventType::Started => "running",
        EventType::Succeeded => "success",
        EventType::Failed => "failed",
        EventType::Cancelled | EventType::Superseded => "canceled",
    };
    json!({
        "state": state,
        "name": wanted.target.context,
        "description": description(wanted),
        "target_url": wanted.link,
    })
}

/// Returns the body for both kinds of Bitbucket, which have the same format. The key must be short and has a
/// small character set, so it is a hash of the name.
fn bitbucket(wanted: &StatusRequest<'_>) -> Result<Value, String> {
    let state = match wanted.kind {
        EventType::Queued | EventType::Started | EventType::Test => "INPROGRESS",
        EventType::Succeeded => "SUCCESSFUL",
        EventType::Failed => "FAILED",
        // Data Center has CANCELLED only in recent versions, and Cloud calls it STOPPED.
        EventType::Cancelled | EventType::Superseded => match wanted.target.provider {
            Provider::BitbucketCloud => "STOPPED",
            _ => "FAILED",
        },
    };
    let link = wanted
        .link
        .ok_or_else(|| "Bitbucket wants a link to the build: set --external-url".to_owned())?;
    let digest = Sha256::digest(wanted.target.context.as_bytes());
    Ok(json!({
        "state": state,
        "key": format!("slipway-{}", hex::encode(&digest[..8])),
        "name": wanted.target.context,
        "description": description(wanted),
        "url": link,
    }))
}

fn description(wanted: &StatusRequest<'_>) -> String {
    let text = match wanted.kind {
        EventType::Queued | EventType::Test => "Waits in the queue".to_owned(),
        EventType::Started => "Is being built".to_owned(),
        EventType::Succeeded => match &wanted.build.digest {
            Some(digest) => format!("Pushed as {digest}"),
            None => "Built and pushed".to_owned(),
        },
        EventType::Failed => match &wanted.build.failure {
            Some(failure) => format!("{}: {}", failure.reason.as_str(), failure.message),
            None => "Failed".to_owned(),
        },
        EventType::Cancelled => "Was cancelled".to_owned(),
        EventType::Superseded => "A newer build took its place".to_owned(),
    };
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(DESCRIPTION - 1) {
        Some((end, _)) if line.len() > end + 1 => format!("{}…", &line[..end]),
        _ => line.to_owned(),
    }
}
