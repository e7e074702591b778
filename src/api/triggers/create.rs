//! New triggers.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::WithSecret,
    secret::{self, Given},
    status::{self, NewStatus},
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, given},
        problem::{Problem, ProblemBody},
    },
    domain::{
        ProjectName, Scope, TriggerId,
        git::GitUrl,
        provider::Provider,
        trigger::{HostedName, Rules, TriggerSettings},
    },
};

/// A trigger that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTrigger {
    /// Who owns it, and its builds; `default` when absent.
    #[serde(default)]
    project: ProjectName,
    /// Who calls it.
    provider: Provider,
    /// The repository as the git host names it: deliveries of others are refused.
    repository: HostedName,
    /// Where builds clone it from. Credentials for its host are settled for the project.
    clone_url: GitUrl,
    /// Which refs are built; none when absent.
    #[serde(default)]
    rules: Rules,
    /// What deliveries are verified with; one is made when absent.
    #[schema(value_type = Option<String>, min_length = 16, max_length = 256, pattern = "^[!-~]+$", write_only)]
    secret: Option<Given>,
    /// Whether deliveries lead to builds.
    #[serde(default = "yes")]
    enabled: bool,
    /// Whether commits bear their builds' status; they do not when absent.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    commit_status: Option<NewStatus>,
}

fn yes() -> bool {
    true
}

/// Create a trigger.
///
/// The answer has its secret, which is not shown again.
#[utoipa::path(
    post,
    path = "/api/v1/triggers",
    operation_id = "create_trigger",
    tag = "triggers",
    request_body = NewTrigger,
    responses(
        (status = 201, description = "It is there", body = WithSecret, headers(
            ("Location" = String, description = "The trigger's address"),
        )),
        (status = 501, description = "The service has no key to keep secrets with: `secret_key_missing`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(new): JsonBody<NewTrigger>,
) -> Result<Response, Problem> {
    caller.may(Scope::TriggersWrite, &new.project)?;
    if state.store.project_settings(&new.project).await?.removed {
        return Err(Problem::field("project", "was removed, and takes no triggers"));
    }
    let id = TriggerId::generate();
    let secret = secret::given_or_made(new.secret)?;
    let sealed = secret::sealed(&state, id, &secret)?;
    let of = status::Of {
        id,
        provider: new.provider,
        clone_url: &new.clone_url,
    };
    let commit_status = match new.commit_status {
        Some(status) => status::settled(&state, &of, status)?,
        None => None,
    };
    let settings = TriggerSettings {
        repository: new.repository,
        clone_url: new.clone_url,
        rules: new.rules,
        enabled: new.enabled,
        commit_status,
    };
    let trigger = state
        .store
        .add_trigger(
            id,
            &new.project,
            new.provider,
            &settings,
            &sealed,
            &caller.actor(),
        )
        .await?;
    let location = [
        (header::LOCATION, format!("/api/v1/triggers/{id}")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = Json(WithSecret::new(trigger, secret::shown(&secret)));
    Ok((StatusCode::CREATED, location, body).into_response())
}
