//! Webhook endpoints: receivers of notifications. Their changes are in the audit log.

mod change;
mod record;

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

pub(super) use record::disabled;

use super::{
    Store, StoreError,
    rows::{Named, column},
};
use crate::domain::{
    EndpointId, ProjectName,
    endpoint::{CallbackUrl, EventType, Format},
};

/// Stored webhook endpoint, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// Project whose builds it receives notifications of.
    pub project: ProjectName,
    /// Address that is called.
    pub url: CallbackUrl,
    /// The owner's description.
    pub description: Option<String>,
    /// Event types that it receives.
    pub events: Vec<EventType>,
    /// Format of the bodies.
    pub format: Format,
    /// `true` if notifications are sent.
    pub enabled: bool,
    /// Reason why the service disabled it.
    pub disabled_reason: Option<String>,
    /// Time since which no notification has been accepted.
    pub failing_since: Option<Timestamp>,
    /// Time until which notifications are also signed with the previous secret.
    pub old_secret_until: Option<Timestamp>,
    /// Time of creation.
    pub created_at: Timestamp,
}

/// New webhook endpoint, not stored yet.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its identifier, to which the sealed secret is bound.
    pub id: EndpointId,
    /// Project whose builds it receives notifications of; created if it does not exist.
    pub project: ProjectName,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// The other settings.
    pub settings: EndpointSettings,
}

/// Settings that the owner chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Address that is called.
    pub url: CallbackUrl,
    /// The owner's description.
    pub description: Option<String>,
    /// Event types that it receives.
    pub events: Vec<EventType>,
    /// Format of the bodies.
    pub format: Format,
    /// `true` if notifications are sent.
    pub enabled: bool,
}

struct Row {
    id: Uuid,
    project: String,
    url: String,
    description: Option<String>,
    events: Vec<String>,
    format: Named<Format>,
    enabled: bool,
    disabled_reason: Option<String>,
    failing_since: Option<jiff_sqlx::Timestamp>,
    old_secret_until: Option<jiff_sqlx::Timestamp>,
    created_at: jiff_sqlx::Timestamp,
}

impl TryFrom<Row> for Endpoint {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: EndpointId(row.id),
            project: row.project.parse().map_err(StoreError::unreadable)?,
            url: row.url.parse().map_err(StoreError::unreadable)?,
            description: row.description,
            events: row.events.iter().filter_map(|name| name.parse().ok()).collect(),
            format: row.format.0,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since.map(jiff_sqlx::Timestamp::to_jiff),
            old_secret_until: row.old_secret_until.map(jiff_sqlx::Timestamp::to_jiff),
            created_at: row.created_at.to_jiff(),
        })
    }
}

impl Endpoint {
    /// Returns the settings that the owner chose.
    pub fn settings(&self) -> EndpointSettings {
        EndpointSettings {
            url: self.url.clone(),
            description: self.description.clone(),
            events: self.events.clone(),
            format: self.format,
            enabled: self.enabled,
        }
    }
}

fn names(events: &[EventType]) -> Vec<&'static str> {
    events.iter().map(|event| event.as_str()).collect()
}

impl Store {
    /// Returns a webhook endpoint.
    pub async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        one(&mut *self.pool.acquire().await?, id).await
    }

    /// Returns a project's webhook endpoints after `after`, oldest first, at most `limit`.
    pub async fn endpoints(
        &self,
        project: &ProjectName,
        after: Option<EndpointId>,
        limit: u32,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            SELECT e.id, p.name AS project, e.url, e.description, e.events, e.format AS "format: Named<Format>",
                e.enabled, e.disabled_reason, e.failing_since AS "failing_since: jiff_sqlx::Timestamp",
                CASE WHEN e.old_secret_until > now() THEN e.old_secret_until END
                    AS "old_secret_until: jiff_sqlx::Timestamp",
                e.created_at AS "created_at: jiff_sqlx::Timestamp"
            FROM endpoints e JOIN projects p ON p.id = e.project_id
            WHERE p.name = $1 AND e.id > $2 ORDER BY e.id LIMIT $3
            "#,
            project.as_str(),
            after.map_or(Uuid::nil(), |id| id.0),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Endpoint::try_from).collect()
    }

    /// Counts the webhook endpoints of a project.
    pub async fn count_endpoints(&self, project: &ProjectName) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM endpoints WHERE project_id = (SELECT id FROM projects WHERE name = $1)"#,
            project.as_str()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(column::<_, i64>(count).unsigned_abs())
    }
}

async fn one(db: &mut PgConnection, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        SELECT e.id, p.name AS project, e.url, e.description, e.events, e.format AS "format: Named<Format>",
            e.enabled, e.disabled_reason, e.failing_since AS "failing_since: jiff_sqlx::Timestamp",
            CASE WHEN e.old_secret_until > now() THEN e.old_secret_until END
                AS "old_secret_until: jiff_sqlx::Timestamp",
            e.created_at AS "created_at: jiff_sqlx::Timestamp"
        FROM endpoints e JOIN projects p ON p.id = e.project_id WHERE e.id = $1
        "#,
        id.0
    )
    .fetch_optional(db)
    .await?;
    row.map(Endpoint::try_from).transpose()
}
