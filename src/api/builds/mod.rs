//! `/api/v1/builds`: the queue's front door.

mod body;
mod create;
mod etag;
mod list;
mod logs;
mod read;

pub(super) use self::logs::Hubs;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::ApiState;

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(read::get))
        .routes(routes!(read::cancel))
        .routes(routes!(create::rebuild))
        .routes(routes!(read::attempts))
        .routes(routes!(read::events))
        .routes(routes!(logs::log))
}
