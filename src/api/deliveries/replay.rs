//! A delivery once more.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{body::DeliveryBody, read::existing};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::{JsonBody, PathId},
        hooks::{self, judge, settled},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{DeliveryId, Scope},
    store::Arrival,
    webhooks,
};

/// How a delivery is replayed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Whether commits are built again that are being built, or were built, by the same rule.
    #[serde(default)]
    again: bool,
}

/// Replay a delivery.
///
/// What arrived is looked at anew, by the rules as they are now. It becomes a delivery of its own.
#[utoipa::path(
    post,
    path = "/api/v1/deliveries/{id}/replay",
    operation_id = "replay_delivery",
    tag = "triggers",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    request_body = Replay,
    responses(
        (status = 200, description = "The new delivery, with what came of it", body = DeliveryBody),
        (status = 409, description = "It was not believed, so that nothing was kept of it: `not_replayable`; or the \
            trigger is off: `trigger_disabled`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<DeliveryId>,
    JsonBody(wanted): JsonBody<Replay>,
) -> Result<Json<DeliveryBody>, Problem> {
    let (trigger, delivery, arrived) = existing(&state, &caller, Scope::TriggersWrite, id).await?;
    if !trigger.settings.enabled {
        return Err(Problem::new(Code::TriggerDisabled));
    }
    let Some(body) = &arrived.body else {
        return Err(Problem::new(Code::NotReplayable));
    };
    let headers = hooks::restored(&arrived.headers);
    let read = webhooks::read(trigger.provider, &headers, body)
        .map_err(|error| Problem::new(Code::NotReplayable).detail(error.to_string()))?;
    let judged = settled(&state, &trigger, judge(&trigger, read), caller.decides()).await?;
    let arrival = Arrival {
        id: DeliveryId::generate(),
        trigger: trigger.id,
        host_id: delivery.host_id,
        event: delivery.event,
        arrived,
        intents: judged.intents,
        without: judged.without,
        replay_of: Some(id),
        again: wanted.again,
    };
    state.store.deliver(&arrival).await?;
    let stored = state.store.delivery(arrival.id).await?;
    stored
        .map(|delivery| Json(delivery.into()))
        .ok_or_else(|| Problem::new(Code::NotFound))
}
