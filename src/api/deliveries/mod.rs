//! Deliveries of triggers: listed, read and replayed.

mod body;
mod list;
mod read;
mod replay;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::body::DeliveryBody;
use super::ApiState;

/// Everything of deliveries but their arrival.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(read::get))
        .routes(routes!(replay::replay))
}
