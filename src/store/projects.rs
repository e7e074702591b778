//! Projects, with the limits and settings that administrators choose.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Column;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{
    Store, StoreError, audit, begin,
    rows::{Named, column, count},
};
use crate::domain::{Actor, Change, ProjectName, ProjectSettings, ProjectTerms};

/// Stored project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Its limits and settings.
    pub terms: ProjectTerms,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change of its limits or settings.
    pub updated_at: Timestamp,
    /// Version, which increases with every change of its limits or settings.
    pub version: i64,
}

/// Result of a change of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The change was made.
    Done(Box<Project>),
    /// There is no such project.
    Missing,
    /// The limits and settings have changed since the version that the caller knows.
    Changed,
    /// The project has builds that have not ended.
    Busy,
}

struct ProjectRow {
    id: i64,
    name: Named<ProjectName>,
    max_running: Option<i32>,
    max_queued: Option<i32>,
    max_per_hour: Option<i32>,
    weight: i32,
    settings: Json<ProjectSettings>,
    created_at: Column,
    updated_at: Column,
    version: i64,
}

impl From<ProjectRow> for Project {
    fn from(row: ProjectRow) -> Self {
        Self {
            name: row.name.0,
            terms: ProjectTerms {
                max_running: row.max_running.map(count),
                max_queued: row.max_queued.map(count),
                max_per_hour: row.max_per_hour.map(count),
                weight: count(row.weight),
                settings: row.settings.0,
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        }
    }
}

impl Store {
    /// Returns a project, unless it was removed.
    pub async fn project(&self, name: &ProjectName) -> Result<Option<Project>, StoreError> {
        let row = sqlx::query_as!(
            ProjectRow,
            r#"
            SELECT id, name AS "name: Named<ProjectName>", max_running, max_queued, max_per_hour, weight,
                settings AS "settings: Json<ProjectSettings>", created_at AS "created_at: Column",
                updated_at AS "updated_at: Column", version
            FROM projects WHERE name = $1 AND removed_at IS NULL
            "#,
            name.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Project::from))
    }

    /// Returns projects in the order of their names, only those after `after`, at most `limit`.
    pub async fn projects(
        &self,
        after: Option<&ProjectName>,
        limit: u32,
    ) -> Result<Vec<Project>, StoreError> {
        let rows = sqlx::query_as!(
            ProjectRow,
            r#"
            SELECT id, name AS "name: Named<ProjectName>", max_running, max_queued, max_per_hour, weight,
                settings AS "settings: Json<ProjectSettings>", created_at AS "created_at: Column",
                updated_at AS "updated_at: Column", version
            FROM projects WHERE name > $1 AND removed_at IS NULL ORDER BY name LIMIT $2
            "#,
            after.map_or("", ProjectName::as_str),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Project::from).collect())
    }

    /// Creates a project, or recreates one that was removed. Returns `None` if it exists already.
    pub async fn add_project(
        &self,
        name: &ProjectName,
        terms: &ProjectTerms,
        actor: &Actor,
    ) -> Result<Option<Project>, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let row = sqlx::query_as!(
            ProjectRow,
            r#"
            INSERT INTO projects (name, max_running, max_queued, max_per_hour, weight, settings)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name) DO UPDATE SET max_running = excluded.max_running, max_queued = excluded.max_queued,
                max_per_hour = excluded.max_per_hour, weight = excluded.weight, settings = excluded.settings,
                version = projects.version + 1, updated_at = now(), removed_at = NULL
            WHERE projects.removed_at IS NOT NULL
            RETURNING id, name AS "name: Named<ProjectName>", max_running, max_queued, max_per_hour, weight,
                settings AS "settings: Json<ProjectSettings>", created_at AS "created_at: Column",
                updated_at AS "updated_at: Column", version
            "#,
            name.as_str(),
            limit(terms.max_running),
            limit(terms.max_queued),
            limit(terms.max_per_hour),
            column::<_, i32>(terms.weight),
            Json(&terms.settings) as _
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let project = Project::from(row);
        record(&mut db, actor, "project.created", name, None, Some(shown(terms))).await?;
        db.commit().await?;
        self.projects.forget();
        Ok(Some(project))
    }

    /// Changes a project's limits and settings, if their version is still `version`; any version if that is
    /// absent.
    pub async fn change_project(
        &self,
        name: &ProjectName,
        version: Option<i64>,
        terms: &ProjectTerms,
        actor: &Actor,
    ) -> Result<Settled, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let old = match locked(&mut db, name, version).await? {
            Ok(old) => old,
            Err(settled) => return Ok(settled),
        };
        let row = sqlx::query_as!(
            ProjectRow,
            r#"
            UPDATE projects SET max_running = $2, max_queued = $3, max_per_hour = $4, weight = $5, settings = $6,
                version = version + 1, updated_at = now()
            WHERE id = $1
            RETURNING id, name AS "name: Named<ProjectName>", max_running, max_queued, max_per_hour, weight,
                settings AS "settings: Json<ProjectSettings>", created_at AS "created_at: Column",
                updated_at AS "updated_at: Column", version
            "#,
            old.id,
            limit(terms.max_running),
            limit(terms.max_queued),
            limit(terms.max_per_hour),
            column::<_, i32>(terms.weight),
            Json(&terms.settings) as _
        )
        .fetch_one(&mut *db)
        .await?;
        let before = shown(&Project::from(old).terms);
        record(
            &mut db,
            actor,
            "project.changed",
            name,
            Some(before),
            Some(shown(terms)),
        )
        .await?;
        db.commit().await?;
        self.projects.forget();
        Ok(Settled::Done(Box::new(row.into())))
    }

    /// Removes a project that has no unfinished builds: deletes its limits and settings and revokes its
    /// tokens. Its finished builds stay until their retention time is over.
    pub async fn remove_project(
        &self,
        name: &ProjectName,
        version: Option<i64>,
        actor: &Actor,
    ) -> Result<Settled, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let old = match locked(&mut db, name, version).await? {
            Ok(old) => old,
            Err(settled) => return Ok(settled),
        };
        let busy = sqlx::query_scalar!(
            r#"
            SELECT EXISTS (SELECT FROM builds WHERE project_id = $1 AND state = 'queued') OR EXISTS (
                SELECT FROM held_slots WHERE project_id = $1
            ) AS "busy!"
            "#,
            old.id
        )
        .fetch_one(&mut *db)
        .await?;
        if busy {
            return Ok(Settled::Busy);
        }
        sqlx::query!(
            "
            WITH revoked AS (
                UPDATE tokens SET revoked_at = now() WHERE project_id = $1 AND revoked_at IS NULL
            )
            UPDATE projects SET removed_at = now(), updated_at = now(), version = version + 1, max_running = NULL,
                max_queued = NULL, max_per_hour = NULL, weight = 1, settings = '{}'
            WHERE id = $1
            ",
            old.id
        )
        .execute(&mut *db)
        .await?;
        let project = Project::from(old);
        let before = shown(&project.terms);
        record(&mut db, actor, "project.removed", name, Some(before), None).await?;
        db.commit().await?;
        self.projects.forget();
        Ok(Settled::Done(Box::new(project)))
    }
}

/// Locks a project for a change and returns it, or the reason why it must not be changed.
async fn locked(
    db: &mut PgConnection,
    name: &ProjectName,
    version: Option<i64>,
) -> Result<Result<ProjectRow, Settled>, sqlx::Error> {
    let row = sqlx::query_as!(
        ProjectRow,
        r#"
        SELECT id, name AS "name: Named<ProjectName>", max_running, max_queued, max_per_hour, weight,
            settings AS "settings: Json<ProjectSettings>", created_at AS "created_at: Column",
            updated_at AS "updated_at: Column", version
        FROM projects WHERE name = $1 AND removed_at IS NULL FOR UPDATE
        "#,
        name.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(match row {
        None => Err(Settled::Missing),
        Some(row) if version.is_some_and(|version| version != row.version) => Err(Settled::Changed),
        Some(row) => Ok(row),
    })
}

async fn record(
    db: &mut PgConnection,
    actor: &Actor,
    action: &'static str,
    name: &ProjectName,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        project: Some(name),
        subject: name.to_string(),
        before,
        after,
    };
    audit::record(db, actor, &change).await
}

fn limit(limit: Option<u32>) -> Option<i32> {
    limit.map(column)
}

/// Returns limits and settings for the audit log: they name Secrets, and contain none.
fn shown(terms: &ProjectTerms) -> Value {
    serde_json::to_value(terms).unwrap_or_default()
}
