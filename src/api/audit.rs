//! `/api/v1/audit`: who changed what.

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiState, caller::Caller, problem::Problem, query::Query};
use crate::domain::{AuditEntry, TokenId};

/// The resource's routes.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A change of what administrators and projects settle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryBody {
    /// Grows from entry to entry.
    id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who: a token's name then, `anonymous`, `command line`, or `service` for what it did of itself.
    actor: String,
    /// The token; null where there was none.
    #[schema(required = true)]
    token_id: Option<TokenId>,
    /// What happened, such as `token.created`.
    action: String,
    /// The project that it belongs to.
    #[schema(required = true)]
    project: Option<String>,
    /// The name or id of what was changed.
    subject: String,
    /// As it was, without secrets; null: it was not there.
    #[schema(required = true, value_type = Option<Object>)]
    before: Option<Value>,
    /// As it is since then, without secrets; null: it is gone.
    #[schema(required = true, value_type = Option<Object>)]
    after: Option<Value>,
}

/// A page of changes.
#[derive(Debug, Serialize, ToSchema)]
struct Audit {
    /// Newest first.
    entries: Vec<EntryBody>,
    /// Give it as `cursor` to see older ones; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List who changed what, newest first.
///
/// For administrators: changes of projects, of tokens, and of what projects have made here.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_audit",
    tag = "projects",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Changes on a page; 20 when absent"),
        ("cursor" = Option<i64>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses((status = 200, description = "A page of changes", body = Audit))
)]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<Audit>, Problem> {
    caller.may_administrate()?;
    let limit = query.number("limit", 1, 100, 20)?;
    let before = query.one::<i64>("cursor")?;
    query.finish()?;
    let limit = u32::try_from(limit).expect("it is within bounds");
    let mut entries = state.store.audit(before, limit + 1).await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let last = entries.last().filter(|_| more);
    Ok(Json(Audit {
        next_cursor: last.map(|entry| entry.id.to_string()),
        entries: entries.into_iter().map(EntryBody::from).collect(),
    }))
}

impl From<AuditEntry> for EntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor.name,
            token_id: entry.actor.token,
            action: entry.action,
            project: entry.project,
            subject: entry.subject,
            before: entry.before,
            after: entry.after,
        }
    }
}
