//! Changes of a trigger.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::TriggerBody,
    existing,
    status::{self, NewStatus},
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, PathId, given},
        problem::{Code, Problem},
    },
    domain::{
        Scope, TriggerId,
        git::GitUrl,
        trigger::{HostedName, Rules},
    },
    store::TriggerChange,
};

/// What of a trigger is to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerPatch {
    /// The repository as the git host names it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    repository: Option<HostedName>,
    /// Where builds clone it from.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    clone_url: Option<GitUrl>,
    /// All rules anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    rules: Option<Rules>,
    /// Whether deliveries lead to builds.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// Whether commits bear their builds' status, as a whole: a token that is not named again is forgotten.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    commit_status: Option<NewStatus>,
}

/// Change a trigger.
#[utoipa::path(
    patch,
    path = "/api/v1/triggers/{id}",
    operation_id = "change_trigger",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    request_body = TriggerPatch,
    responses((status = 200, description = "As it is now", body = TriggerBody))
)]
pub(super) async fn change(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
    JsonBody(patch): JsonBody<TriggerPatch>,
) -> Result<Json<TriggerBody>, Problem> {
    let trigger = existing(&state, &caller, Scope::TriggersWrite, id).await?;
    let of = status::Of {
        id,
        provider: trigger.provider,
        clone_url: patch.clone_url.as_ref().unwrap_or(&trigger.settings.clone_url),
    };
    let commit_status = patch
        .commit_status
        .map(|status| status::settled(&state, &of, status));
    let change = TriggerChange {
        repository: patch.repository,
        clone_url: patch.clone_url,
        rules: patch.rules,
        enabled: patch.enabled,
        commit_status: commit_status.transpose()?,
    };
    let changed = state.store.change_trigger(id, &change, &caller.actor()).await?;
    changed
        .map(|trigger| Json(trigger.into()))
        .ok_or_else(|| Problem::new(Code::NotFound))
}
