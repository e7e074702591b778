//! Endpoints: made, changed, removed.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Store, StoreError,
    rows::{Named, column},
};
use crate::domain::{
    EndpointId, ProjectName,
    endpoint::{CallbackUrl, EventType, Format},
};

/// An endpoint as it is stored, less its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// Whose builds it is told of.
    pub project: ProjectName,
    /// What is called.
    pub url: CallbackUrl,
    /// The owner's words.
    pub description: Option<String>,
    /// What it is told of.
    pub events: Vec<EventType>,
    /// How bodies are written.
    pub format: Format,
    /// Whether it is told of anything.
    pub enabled: bool,
    /// Why the service disabled it.
    pub disabled_reason: Option<String>,
    /// Since when no notification was taken.
    pub failing_since: Option<Timestamp>,
    /// Until when notifications are signed with the secret before the present one, too.
    pub old_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An endpoint that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its identifier, which its secret is sealed for.
    pub id: EndpointId,
    /// Whose builds it is told of; comes into being with it.
    pub project: ProjectName,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// The rest.
    pub settings: EndpointSettings,
}

/// What its owner settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// What is called.
    pub url: CallbackUrl,
    /// The owner's words.
    pub description: Option<String>,
    /// What it is told of.
    pub events: Vec<EventType>,
    /// How bodies are written.
    pub format: Format,
    /// Whether it is told of anything.
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

fn names(events: &[EventType]) -> Vec<&'static str> {
    events.iter().map(|event| event.as_str()).collect()
}

impl Store {
    /// Stores an endpoint. False when its project has been removed.
    pub async fn create_endpoint(&self, new: &NewEndpoint) -> Result<bool, StoreError> {
        let settings = &new.settings;
        let stored = sqlx::query!(
            "
            WITH made AS (
                INSERT INTO projects (name) VALUES ($2) ON CONFLICT (name) DO UPDATE SET name = excluded.name
                WHERE projects.removed_at IS NULL RETURNING id
            )
            INSERT INTO endpoints (id, project_id, url, description, events, format, secret, enabled)
            SELECT $1, id, $3, $4, $5, $6, $7, $8 FROM made
            ",
            new.id.0,
            new.project.as_str(),
            settings.url.as_str(),
            settings.description.as_deref(),
            &names(&settings.events) as &[&str],
            settings.format.as_str(),
            &new.secret,
            settings.enabled
        )
        .execute(&self.pool)
        .await?;
        Ok(stored.rows_affected() == 1)
    }

    /// An endpoint.
    pub async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
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
        .fetch_optional(&self.pool)
        .await?;
        row.map(Endpoint::try_from).transpose()
    }

    /// A project's endpoints after this one, oldest first, at most `limit`.
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

    /// Changes an endpoint. One that is enabled counts as healthy again, and what still waits for it is tried at once.
    /// False when there is none.
    pub async fn change_endpoint(
        &self,
        id: EndpointId,
        settings: &EndpointSettings,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query_scalar!(
            "
            WITH changed AS (
                UPDATE endpoints SET url = $2, description = $3, events = $4, format = $5, enabled = $6,
                    disabled_reason = CASE WHEN $6 THEN NULL ELSE disabled_reason END,
                    failing_since = CASE WHEN enabled = $6 THEN failing_since END
                WHERE id = $1 RETURNING id
            ), woken AS (
                UPDATE notifications n SET next_try_at = now() FROM changed c
                WHERE $6 AND n.target = c.id::text AND n.state = 'waiting' AND n.claim IS NULL
                    AND n.next_try_at > now()
            )
            SELECT id FROM changed
            ",
            id.0,
            settings.url.as_str(),
            settings.description.as_deref(),
            &names(&settings.events) as &[&str],
            settings.format.as_str(),
            settings.enabled
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(changed.is_some())
    }

    /// Gives an endpoint a new secret; the present one counts for `overlap` seconds more. False when there is none.
    pub async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        secret: &[u8],
        overlap: u32,
    ) -> Result<bool, StoreError> {
        let rotated = sqlx::query_scalar!(
            "
            UPDATE endpoints SET old_secret = CASE WHEN $3 > 0 THEN secret END,
                old_secret_until = CASE WHEN $3 > 0 THEN now() + make_interval(secs => $3) END, secret = $2
            WHERE id = $1 RETURNING id
            ",
            id.0,
            secret,
            column::<_, i32>(overlap)
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(rotated.is_some())
    }

    /// Removes an endpoint. What was to be sent to it is not sent any more; the record of it goes with its time. False
    /// when there was none.
    pub async fn remove_endpoint(&self, id: EndpointId) -> Result<bool, StoreError> {
        let removed = sqlx::query!("DELETE FROM endpoints WHERE id = $1", id.0)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() == 1)
    }

    /// How many endpoints a project has.
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
