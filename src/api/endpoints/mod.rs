//! `/api/v1/endpoints`: who is told of builds.

mod body;
mod change;
mod notifications;
mod read;

use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiState,
    caller::Caller,
    problem::{Code, Problem},
};
use crate::{
    domain::{EndpointId, Scope, endpoint::SigningSecret},
    store::Endpoint,
};

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(change::create, read::list))
        .routes(routes!(read::get, change::change, change::remove))
        .routes(routes!(change::rotate))
        .routes(routes!(notifications::test))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::get))
        .routes(routes!(notifications::redeliver))
}

/// The endpoint, if the caller may have to do with it.
async fn endpoint(state: &ApiState, caller: &Caller, id: EndpointId) -> Result<Endpoint, Problem> {
    let found = state.store.endpoint(id).await?;
    let found = found.ok_or_else(|| Problem::new(Code::NotFound))?;
    caller.may(Scope::EndpointsWrite, &found.project)?;
    Ok(found)
}

/// The secret, as the database keeps it.
fn sealed(state: &ApiState, id: EndpointId, secret: &SigningSecret) -> Result<Vec<u8>, Problem> {
    let keyring = state.keyring.as_ref().ok_or_else(|| {
        Problem::new(Code::SecretKeyMissing)
            .detail("the operator has to start the service with --secret-key or --secret-key-file")
    })?;
    Ok(keyring.seal(&SigningSecret::context(id), secret.text()))
}

/// What a request that changed something is answered.
const DONE: StatusCode = StatusCode::NO_CONTENT;
