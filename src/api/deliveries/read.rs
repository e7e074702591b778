//! One delivery.

use axum::{Json, extract::State};

use super::body::WholeDelivery;
use crate::{
    api::{
        ApiState,
        caller::Caller,
        extract::PathId,
        problem::{Code, Problem},
        triggers,
    },
    domain::{
        DeliveryId, Scope, Trigger,
        delivery::{Arrived, StoredDelivery},
    },
};

/// Get a delivery with what arrived.
#[utoipa::path(
    get,
    path = "/api/v1/deliveries/{id}",
    operation_id = "get_delivery",
    tag = "triggers",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, description = "The delivery", body = WholeDelivery))
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<DeliveryId>,
) -> Result<Json<WholeDelivery>, Problem> {
    let (_, delivery, arrived) = existing(&state, &caller, Scope::TriggersRead, id).await?;
    Ok(Json(WholeDelivery::new(delivery, arrived)))
}

/// The delivery with its trigger and what arrived, where the caller has this right to it; else 404, or 403.
pub(super) async fn existing(
    state: &ApiState,
    caller: &Caller,
    scope: Scope,
    id: DeliveryId,
) -> Result<(Trigger, StoredDelivery, Arrived), Problem> {
    let nothing = || Problem::new(Code::NotFound);
    let delivery = state.store.delivery(id).await?.ok_or_else(nothing)?;
    let trigger = triggers::existing(state, caller, scope, delivery.trigger).await?;
    let arrived = state.store.arrived(id).await?.ok_or_else(nothing)?;
    Ok((trigger, delivery, arrived))
}
