//! `/api/v1/triggers`: links between git repositories and the images that are built of them.

mod body;
mod build;
mod change;
mod create;
mod dry_run;
mod list;
mod read;
mod rotate;
mod secret;
mod status;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    caller::Caller,
    problem::{Code, Problem},
};
use crate::domain::{Scope, Trigger, TriggerId};

pub(super) use self::secret::context;

/// Everything of triggers but what calls them.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(read::get, change::change, read::delete))
        .routes(routes!(rotate::rotate))
        .routes(routes!(dry_run::dry_run))
        .routes(routes!(build::build))
}

/// The trigger, where the caller has this right to it; else 404, or 403.
pub(super) async fn existing(
    state: &ApiState,
    caller: &Caller,
    scope: Scope,
    id: TriggerId,
) -> Result<Trigger, Problem> {
    let trigger = state
        .store
        .trigger(id)
        .await?
        .ok_or_else(|| Problem::new(Code::NotFound))?;
    caller.may(scope, &trigger.project)?;
    Ok(trigger)
}
