//! `/api/v1/builds`: the queue's front door.

mod asked;
mod body;
mod create;
mod etag;
mod events;
mod list;
mod logs;
mod progress;
mod read;
mod wait;

pub(super) use self::{body::EventBody, logs::Hubs, wait::LONGEST as LONGEST_WAIT};

use utoipa_axum::{router::OpenApiRouter, routes};

use super::ApiState;

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(read::cancel))
        .routes(routes!(create::rebuild))
        .routes(routes!(read::attempts))
        .routes(routes!(events::events))
        .routes(routes!(logs::log))
}

/// Those that a client may ask to wait.
pub(super) fn waiting_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read::get))
}
