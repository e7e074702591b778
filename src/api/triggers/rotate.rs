//! A new secret in the place of the one before.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body::WithSecret,
    existing,
    secret::{self, Given},
};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, PathId},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{Scope, TriggerId},
};

/// The longest time that two secrets count, in seconds: a week.
const LONGEST: u32 = 7 * 86_400;

/// How a secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// The new one; one is made when absent.
    #[schema(value_type = Option<String>, min_length = 16, max_length = 256, pattern = "^[!-~]+$", write_only)]
    secret: Option<Given>,
    /// How long the one before counts yet, in seconds: 0 to 604,800.
    #[serde(default = "a_day")]
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: u32,
}

fn a_day() -> u32 {
    86_400
}

/// Rotate a trigger's secret.
///
/// Deliveries with the secret before are believed for some time yet, so that the git host can be told the new one in
/// peace. The answer has the new one, which is not shown again.
#[utoipa::path(
    post,
    path = "/api/v1/triggers/{id}/rotate-secret",
    operation_id = "rotate_trigger_secret",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    request_body = Rotation,
    responses(
        (status = 200, description = "The trigger with its new secret", body = WithSecret),
        (status = 501, description = "The service has no key to keep secrets with: `secret_key_missing`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
    JsonBody(rotation): JsonBody<Rotation>,
) -> Result<Response, Problem> {
    if rotation.overlap_seconds > LONGEST {
        return Err(Problem::field(
            "overlap_seconds",
            format_args!("must be at most {LONGEST}"),
        ));
    }
    existing(&state, &caller, Scope::TriggersWrite, id).await?;
    let secret = secret::given_or_made(rotation.secret)?;
    let sealed = secret::sealed(&state, id, &secret)?;
    let overlap = Duration::from_secs(rotation.overlap_seconds.into());
    if !state
        .store
        .rotate_trigger_secret(id, &sealed, overlap, &caller.actor())
        .await?
    {
        return Err(Problem::new(Code::NotFound));
    }
    let trigger = existing(&state, &caller, Scope::TriggersWrite, id).await?;
    let body = Json(WithSecret::new(trigger, secret::shown(&secret)));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
