//! Lists of deliveries.

use axum::{Json, extract::State};

use super::body::{Deliveries, DeliveryBody};
use crate::{
    api::{ApiState, caller::Caller, extract::PathId, problem::Problem, query::Query, triggers},
    domain::{DeliveryId, Scope, TriggerId, delivery::Verdict},
    store::DeliveryFilter,
};

/// List a trigger's deliveries, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/triggers/{id}/deliveries",
    operation_id = "list_deliveries",
    tag = "triggers",
    params(
        ("id" = TriggerId, Path, description = "The trigger"),
        ("verdict" = Option<Verdict>, Query, description = "Only deliveries with this verdict"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Deliveries on a page; 20 when absent"),
        ("cursor" = Option<DeliveryId>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of deliveries, without what arrived", body = Deliveries))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    PathId(id): PathId<TriggerId>,
    mut query: Query,
) -> Result<Json<Deliveries>, Problem> {
    let filter = DeliveryFilter {
        verdict: query.one::<Verdict>("verdict")?,
    };
    let before = query.one::<DeliveryId>("cursor")?;
    let limit = u32::try_from(query.number("limit", 1, 100, 20)?).expect("the limit is at most 100");
    query.finish()?;
    triggers::existing(&state, &caller, Scope::TriggersRead, id).await?;
    let mut deliveries = state.store.deliveries(id, &filter, before, limit + 1).await?;
    let more = deliveries.len() > limit as usize;
    deliveries.truncate(limit as usize);
    Ok(Json(Deliveries {
        next_cursor: deliveries.last().filter(|_| more).map(|last| last.id),
        deliveries: deliveries.into_iter().map(DeliveryBody::from).collect(),
    }))
}
