//! Triggers and their secrets, which are stored and returned sealed.

mod change;

use jiff_sqlx::Timestamp;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

pub use self::change::TriggerChange;
use self::change::{record, shown};
use super::{Store, StoreError, begin, rows::Named};
use crate::domain::{
    Actor, ProjectName, Trigger, TriggerId,
    commit_status::StatusSettings,
    endpoint::CallbackUrl,
    git::GitUrl,
    provider::Provider,
    trigger::{HostedName, Rules, TriggerSettings},
};

/// Sealed secret, as stored.
pub type SealedSecret = Vec<u8>;

struct TriggerRow {
    id: Uuid,
    project: Named<ProjectName>,
    provider: Named<Provider>,
    repository: Named<HostedName>,
    clone_url: Named<GitUrl>,
    rules: Json<Rules>,
    enabled: bool,
    status_api_url: Option<Named<CallbackUrl>>,
    status_token: Option<SealedSecret>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

impl From<TriggerRow> for Trigger {
    fn from(row: TriggerRow) -> Self {
        Self {
            id: TriggerId(row.id),
            project: row.project.0,
            provider: row.provider.0,
            settings: TriggerSettings {
                repository: row.repository.0,
                clone_url: row.clone_url.0,
                rules: row.rules.0,
                enabled: row.enabled,
                commit_status: row.status_api_url.map(|api_url| StatusSettings {
                    api_url: api_url.0,
                    token: row.status_token,
                }),
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        }
    }
}

impl Store {
    /// Stores a trigger with its first secret, which is sealed for this id.
    pub async fn add_trigger(
        &self,
        id: TriggerId,
        project: &ProjectName,
        provider: Provider,
        settings: &TriggerSettings,
        secret: &SealedSecret,
        actor: &Actor,
    ) -> Result<Trigger, StoreError> {
        let status = settings.commit_status.as_ref();
        let mut db = begin::begin(&self.pool).await?;
        // The update changes nothing: it makes the statement return the id of a project that already exists.
        let row = sqlx::query_as!(
            TriggerRow,
            r#"
            WITH project AS (
                INSERT INTO projects (name) VALUES ($2)
                ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name
            )
            INSERT INTO triggers (id, project_id, provider, repository, clone_url, rules, enabled,
                status_api_url, status_token)
            SELECT $1, project.id, $3, $4, $5, $6, $7, $8, $9 FROM project
            RETURNING id, (SELECT name FROM project) AS "project!: Named<ProjectName>",
                provider AS "provider: Named<Provider>", repository AS "repository: Named<HostedName>",
                clone_url AS "clone_url: Named<GitUrl>", rules AS "rules: Json<Rules>", enabled,
                status_api_url AS "status_api_url: Named<CallbackUrl>", status_token, created_at AS "created_at: Timestamp", updated_at AS "updated_at: Timestamp", version
            "#,
            id.0,
            project.as_str(),
            provider.as_str(),
            settings.repository.as_str(),
            settings.clone_url.as_str(),
            Json(&settings.rules) as Json<&Rules>,
            settings.enabled,
            status.map(|status| status.api_url.as_str()),
            status.and_then(|status| status.token.as_deref())
        )
        .fetch_one(&mut *db)
        .await?;
        sqlx::query!(
            "INSERT INTO trigger_secrets (trigger_id, sealed) VALUES ($1, $2)",
            id.0,
            secret
        )
        .execute(&mut *db)
        .await?;
        let trigger = Trigger::from(row);
        record(
            &mut db,
            actor,
            "trigger.created",
            &trigger,
            None,
            Some(shown(&trigger)),
        )
        .await?;
        db.commit().await?;
        Ok(trigger)
    }

    /// Returns a trigger.
    pub async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>, StoreError> {
        Ok(one(&mut *self.pool.acquire().await?, id).await?)
    }

    /// Returns triggers, newest first, only those older than `before`, at most `limit`; of one project, if
    /// one is given.
    pub async fn triggers(
        &self,
        project: Option<&ProjectName>,
        before: Option<TriggerId>,
        limit: u32,
    ) -> Result<Vec<Trigger>, StoreError> {
        let rows = sqlx::query_as!(
            TriggerRow,
            r#"
            SELECT t.id, p.name AS "project: Named<ProjectName>", t.provider AS "provider: Named<Provider>",
                t.repository AS "repository: Named<HostedName>", t.clone_url AS "clone_url: Named<GitUrl>",
                t.rules AS "rules: Json<Rules>", t.enabled, t.status_api_url AS "status_api_url: Named<CallbackUrl>",
                t.status_token, t.created_at AS "created_at: Timestamp",
                t.updated_at AS "updated_at: Timestamp", t.version
            FROM triggers t JOIN projects p ON p.id = t.project_id
            WHERE ($1::text IS NULL OR p.name = $1) AND t.id < $2
            ORDER BY t.id DESC LIMIT $3
            "#,
            project.map(ProjectName::as_str),
            before.map_or(Uuid::max(), |id| id.0),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Trigger::from).collect())
    }

    /// Returns a called trigger and its currently valid secrets, sealed, the current one first.
    pub async fn called_trigger(
        &self,
        id: TriggerId,
    ) -> Result<Option<(Trigger, Vec<SealedSecret>)>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT p.name AS "project: Named<ProjectName>", t.provider AS "provider: Named<Provider>",
                t.repository AS "repository: Named<HostedName>", t.clone_url AS "clone_url: Named<GitUrl>",
                t.rules AS "rules: Json<Rules>", t.enabled, t.status_api_url AS "status_api_url: Named<CallbackUrl>",
                t.status_token, t.created_at AS "created_at: Timestamp",
                t.updated_at AS "updated_at: Timestamp", t.version, ARRAY(
                    SELECT s.sealed FROM trigger_secrets s
                    WHERE s.trigger_id = t.id AND (s.expires_at IS NULL OR s.expires_at > now()) ORDER BY s.id DESC
                ) AS "secrets!: Vec<SealedSecret>"
            FROM triggers t JOIN projects p ON p.id = t.project_id WHERE t.id = $1
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| {
            let trigger = TriggerRow {
                id: id.0,
                project: row.project,
                provider: row.provider,
                repository: row.repository,
                clone_url: row.clone_url,
                rules: row.rules,
                enabled: row.enabled,
                status_api_url: row.status_api_url,
                status_token: row.status_token,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            };
            (trigger.into(), row.secrets)
        }))
    }
}

async fn one(db: &mut PgConnection, id: TriggerId) -> Result<Option<Trigger>, sqlx::Error> {
    let row = sqlx::query_as!(
        TriggerRow,
        r#"
        SELECT t.id, p.name AS "project: Named<ProjectName>", t.provider AS "provider: Named<Provider>",
            t.repository AS "repository: Named<HostedName>", t.clone_url AS "clone_url: Named<GitUrl>",
            t.rules AS "rules: Json<Rules>", t.enabled, t.status_api_url AS "status_api_url: Named<CallbackUrl>",
                t.status_token, t.created_at AS "created_at: Timestamp",
            t.updated_at AS "updated_at: Timestamp", t.version
        FROM triggers t JOIN projects p ON p.id = t.project_id WHERE t.id = $1
        "#,
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Trigger::from))
}
