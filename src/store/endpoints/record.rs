//! Audit log entries of webhook endpoints, without their secrets.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Endpoint, EndpointSettings, NewEndpoint};
use crate::{
    domain::{Actor, Change, EndpointId, ProjectName, endpoint::CallbackUrl},
    store::audit,
};

pub(super) async fn created(
    db: &mut PgConnection,
    actor: &Actor,
    new: &NewEndpoint,
) -> Result<(), sqlx::Error> {
    let after = Some(shown(&new.settings));
    let of = (new.id, &new.project);
    record(db, actor, "endpoint.created", of, (None, after)).await
}

pub(super) async fn changed(
    db: &mut PgConnection,
    actor: &Actor,
    before: &Endpoint,
    after: &EndpointSettings,
) -> Result<(), sqlx::Error> {
    let both = (Some(shown(&before.settings())), Some(shown(after)));
    let of = (before.id, &before.project);
    record(db, actor, "endpoint.changed", of, both).await
}

pub(super) async fn rotated(
    db: &mut PgConnection,
    actor: &Actor,
    endpoint: &Endpoint,
    overlap: u32,
) -> Result<(), sqlx::Error> {
    let after = Some(json!({ "overlap_seconds": overlap }));
    let of = (endpoint.id, &endpoint.project);
    record(db, actor, "endpoint.secret_rotated", of, (None, after)).await
}

pub(super) async fn removed(
    db: &mut PgConnection,
    actor: &Actor,
    endpoint: &Endpoint,
) -> Result<(), sqlx::Error> {
    let before = Some(shown(&endpoint.settings()));
    let of = (endpoint.id, &endpoint.project);
    record(db, actor, "endpoint.removed", of, (before, None)).await
}

/// Records that the service itself disabled a webhook endpoint.
pub(in crate::store) async fn disabled(
    db: &mut PgConnection,
    id: EndpointId,
    project: &ProjectName,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let before = json!({ "enabled": true });
    let after = json!({ "enabled": false, "disabled_reason": reason });
    let actor = Actor::service();
    record(
        db,
        &actor,
        "endpoint.disabled",
        (id, project),
        (Some(before), Some(after)),
    )
    .await
}

async fn record(
    db: &mut PgConnection,
    actor: &Actor,
    action: &'static str,
    (id, project): (EndpointId, &ProjectName),
    (before, after): (Option<Value>, Option<Value>),
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        project: Some(project),
        subject: id.to_string(),
        before,
        after,
    };
    audit::record(db, actor, &change).await
}

fn shown(settings: &EndpointSettings) -> Value {
    json!({
        "url": address(&settings.url),
        "description": settings.description,
        "events": settings.events,
        "format": settings.format,
        "enabled": settings.enabled,
    })
}

/// Returns the address without its query: some services expect their tokens there, and the audit log is kept
/// for ever.
fn address(url: &CallbackUrl) -> String {
    let (before, query) = match url.as_str().split_once('?') {
        Some((before, _)) => (before, "?…"),
        None => (url.as_str(), ""),
    };
    format!("{before}{query}")
}
