//! A ref that is built because somebody asks for it.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::existing;
use crate::{
    api::{
        ApiState,
        caller::Caller,
        deliveries::DeliveryBody,
        extract::{JsonBody, PathId},
        hooks::{Judged, of_ref, settled},
        problem::{Code, Problem, ProblemBody},
    },
    domain::{
        DeliveryId, Scope, TriggerId,
        delivery::{Arrived, KeptHeaders},
        git::{CommitId, GitRef},
        push::{NamedRef, RefKind},
        ruled::Subject,
        trigger::RuleName,
    },
    store::Arrival,
};

/// A ref that is to be built now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildNow {
    /// Branch or tag.
    ref_type: RefKind,
    /// Its short name.
    ref_name: GitRef,
    /// The commit; the ref's tip at the time of the build when absent.
    commit: Option<CommitId>,
    /// The only rule that is to count; all that match when absent.
    rule: Option<RuleName>,
}

/// Build a ref now.
///
/// For what the git host did not deliver, and to build the same once more: what was built before does not matter. It is
/// listed among the trigger's deliveries.
#[utoipa::path(
    post,
    path = "/api/v1/triggers/{id}/builds",
    operation_id = "build_ref",
    tag = "triggers",
    params(("id" = TriggerId, Path, description = "The trigger")),
    request_body = BuildNow,
    responses(
        (status = 200, description = "What came of it: the builds, or why there are none", body = DeliveryBody),
        (status = 409, description = "The trigger is off: `trigger_disabled`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn build(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
    JsonBody(wanted): JsonBody<BuildNow>,
) -> Result<Json<DeliveryBody>, Problem> {
    let trigger = existing(&state, &caller, Scope::TriggersWrite, id).await?;
    if !trigger.settings.enabled {
        return Err(Problem::new(Code::TriggerDisabled));
    }
    let subject = Subject {
        reference: NamedRef {
            kind: wanted.ref_type,
            name: wanted.ref_name,
        },
        commit: wanted.commit,
        message: None,
    };
    let only = wanted.rule.as_ref().map(RuleName::as_str);
    let judged = Judged::of(of_ref(&trigger, &subject, only));
    let Judged { intents, without } = settled(&state, &trigger, judged, caller.decides()).await?;
    let arrival = Arrival {
        id: DeliveryId::generate(),
        trigger: id,
        host_id: None,
        event: "requested".to_owned(),
        arrived: Arrived {
            headers: KeptHeaders::new(),
            body: None,
        },
        intents,
        without,
        replay_of: None,
        again: true,
    };
    state.store.deliver(&arrival).await?;
    let stored = state.store.delivery(arrival.id).await?;
    stored
        .map(|delivery| Json(delivery.into()))
        .ok_or_else(|| Problem::new(Code::NotFound))
}
