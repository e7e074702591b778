//! Whether commits that a trigger builds bear its builds' status.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret::{self, Given};
use crate::{
    api::{ApiState, problem::Problem},
    domain::{
        TriggerId,
        commit_status::{self, StatusSettings},
        endpoint::CallbackUrl,
        git::GitUrl,
        provider::Provider,
    },
};

/// What a caller settles of commit statuses. As a whole: a token that is not named again is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCommitStatus)]
pub(super) struct NewStatus {
    /// Whether the git host is told of the builds of its commits.
    enabled: bool,
    /// The base of the host's API; found by the clone URL when absent. It does not change with that later on.
    api_url: Option<CallbackUrl>,
    /// A token that may set statuses; the operator's for that host when absent. Never shown.
    #[schema(value_type = Option<String>, min_length = 16, max_length = 256, pattern = "^[!-~]+$", write_only)]
    token: Option<Given>,
}

/// Whether commits bear their builds' status.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommitStatus)]
pub(super) struct StatusBody {
    /// Whether the git host is told of the builds of its commits.
    enabled: bool,
    /// The base of the host's API; null when it is not told.
    #[schema(required = true)]
    api_url: Option<CallbackUrl>,
    /// Whether it is told with a token of the trigger's own; the operator's otherwise.
    own_token: bool,
}

impl From<Option<StatusSettings>> for StatusBody {
    fn from(settings: Option<StatusSettings>) -> Self {
        Self {
            enabled: settings.is_some(),
            own_token: settings.as_ref().is_some_and(|settings| settings.token.is_some()),
            api_url: settings.map(|settings| settings.api_url),
        }
    }
}

/// The trigger that it is settled for.
pub(super) struct Of<'a> {
    pub(super) id: TriggerId,
    pub(super) provider: Provider,
    pub(super) clone_url: &'a GitUrl,
}

/// What is to be stored of it.
pub(super) fn settled(
    state: &ApiState,
    of: &Of<'_>,
    new: NewStatus,
) -> Result<Option<StatusSettings>, Problem> {
    if !new.enabled {
        return Ok(None);
    }
    if !of.provider.has_statuses() {
        return Err(Problem::field(
            "commit_status",
            "cannot be had of this provider: it has no commit statuses",
        ));
    }
    let found = || {
        commit_status::api_url(of.provider, of.clone_url.as_str())
            .map_err(|error| Problem::field("clone_url", format_args!("{error} in commit_status.api_url")))
    };
    let Some(api_url) = new.api_url.map_or_else(found, |url| Ok(Some(url)))? else {
        return Ok(None);
    };
    let api_url = api_url
        .as_str()
        .trim_end_matches('/')
        .parse::<CallbackUrl>()
        .map_err(|error| Problem::field("commit_status.api_url", error))?;
    if state.reachable.literal(&api_url.parsed()) == Some(false) {
        return Err(Problem::field(
            "commit_status.api_url",
            "is an address that may not be called from here",
        ));
    }
    let token = new.token.map(|token| {
        let context = commit_status::token_context(of.id, &api_url);
        secret::sealed_with(state, &context, &token.text())
    });
    Ok(Some(StatusSettings {
        token: token.transpose()?,
        api_url,
    }))
}
