//! How deliveries look in JSON.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    DeliveryId, TriggerId,
    delivery::{Arrived, Consequence, KeptHeaders, StoredDelivery, Verdict},
};

/// What called a trigger, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in crate::api) struct DeliveryBody {
    /// Its identifier.
    id: DeliveryId,
    /// What was called.
    trigger_id: TriggerId,
    /// When it arrived.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    /// The git host's own id of it.
    #[schema(required = true)]
    host_id: Option<String>,
    /// The event as the git host calls it; `requested` of what somebody asked for here; empty where it was not read.
    event: String,
    /// What came of it.
    verdict: Verdict,
    /// Why, where there is a reason.
    #[schema(required = true)]
    reason: Option<String>,
    /// What came of each ref and rule.
    consequences: Vec<Consequence>,
    /// The delivery that this one repeats on request.
    #[schema(required = true)]
    replay_of: Option<DeliveryId>,
    /// The delivery with the same host's id that came first.
    #[schema(required = true)]
    duplicate_of: Option<DeliveryId>,
}

impl From<StoredDelivery> for DeliveryBody {
    fn from(delivery: StoredDelivery) -> Self {
        Self {
            id: delivery.id,
            trigger_id: delivery.trigger,
            received_at: delivery.received_at,
            host_id: delivery.host_id,
            event: delivery.event,
            verdict: delivery.verdict,
            reason: delivery.reason,
            consequences: delivery.consequences,
            replay_of: delivery.replay_of,
            duplicate_of: delivery.duplicate_of,
        }
    }
}

/// A delivery with what arrived.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeDelivery {
    /// The delivery.
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// Its headers, those that tell something: no secret and no signature is among them.
    headers: KeptHeaders,
    /// Its body as text; null where it was not believed.
    #[schema(required = true)]
    body: Option<String>,
}

impl WholeDelivery {
    pub(super) fn new(delivery: StoredDelivery, arrived: Arrived) -> Self {
        Self {
            delivery: delivery.into(),
            headers: arrived.headers,
            body: arrived
                .body
                .map(|body| String::from_utf8_lossy(&body).into_owned()),
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deliveries {
    /// Newest first.
    pub deliveries: Vec<DeliveryBody>,
    /// Give it as `cursor` to see older deliveries; null on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<DeliveryId>,
}
