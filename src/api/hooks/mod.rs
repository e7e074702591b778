//! `/hooks/{trigger}`: what git hosts call. No bearer: a delivery proves by its provider's own means that it knows the
//! trigger's secret, over its raw bytes, before anything of it is parsed.

mod allowance;
mod intents;
mod keep;
mod receive;
mod settle;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::ApiState;

pub(super) use self::{
    allowance::Allowances,
    intents::{Judged, judge, of_ref},
    keep::restored,
    settle::{Terms, settled},
};

/// What git hosts call.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(receive::receive))
        .routes(routes!(receive::call))
        .routes(routes!(receive::call_with_slash))
}
