//! Audit log: every change with its actor.

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{Actor, AuditEntry, Change, TokenId};

/// Records a change within the transaction that makes it.
pub(super) async fn record(
    db: &mut PgConnection,
    actor: &Actor,
    change: &Change<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO audit (token_id, actor, action, project, subject, before, after)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        actor.token.map(|id| id.0),
        actor.name,
        change.action,
        change.project.map(|name| name.as_str()),
        change.subject,
        change.before,
        change.after
    )
    .execute(db)
    .await?;
    Ok(())
}

struct AuditRow {
    id: i64,
    at: Timestamp,
    token_id: Option<Uuid>,
    actor: String,
    action: String,
    project: Option<String>,
    subject: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Store {
    /// Returns audit log entries older than the entry `before`, newest first, at most `limit`.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query_as!(
            AuditRow,
            r#"
            SELECT id, at AS "at: Timestamp", token_id, actor, action, project, subject, before, after
            FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2
            "#,
            before.unwrap_or(i64::MAX),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(AuditEntry::from).collect())
    }
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_jiff(),
            actor: Actor {
                token: row.token_id.map(TokenId),
                name: row.actor,
            },
            action: row.action,
            project: row.project,
            subject: row.subject,
            before: row.before,
            after: row.after,
        }
    }
}
