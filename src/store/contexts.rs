//! Uploaded contexts, and the tokens that may read them.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Column;

use super::{
    Store, StoreError,
    rows::{Named, column, length},
};
use crate::domain::{BuildId, ContextId, ProjectName};

/// Uploaded context.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its identifier.
    pub id: ContextId,
    /// The project that uploaded it.
    pub project: ProjectName,
    /// The archive's size in bytes.
    pub size: u64,
    /// The archive's SHA-256.
    pub sha256: [u8; 32],
    /// Time of the upload.
    pub created_at: Timestamp,
}

impl Store {
    /// Stores the row of an uploaded context, whose bytes are already in the object store. Returns `None` if
    /// the upload took so long that its bytes have been removed, or are about to be.
    pub async fn add_context(
        &self,
        id: ContextId,
        project: &ProjectName,
        size: u64,
        sha256: [u8; 32],
    ) -> Result<Option<Context>, StoreError> {
        // The update changes nothing: it makes the statement return the id of a project that already exists.
        let created_at = sqlx::query_scalar!(
            r#"
            WITH project AS (
                INSERT INTO projects (name) VALUES ($2)
                ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
            ), uploaded AS (
                DELETE FROM loose_objects WHERE context_id = $1 AND due_at > now() + interval '1 min'
                RETURNING context_id
            )
            INSERT INTO contexts (id, project_id, size, sha256)
            SELECT context_id, project.id, $3, $4 FROM project, uploaded
            RETURNING created_at AS "created_at: Column"
            "#,
            id.0,
            project.as_str(),
            column::<_, i64>(size),
            &sha256
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(created_at.map(|created_at| Context {
            id,
            project: project.clone(),
            size,
            sha256,
            created_at: created_at.to_jiff(),
        }))
    }

    /// Returns a context.
    pub async fn context(&self, id: ContextId) -> Result<Option<Context>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT p.name AS "project: Named<ProjectName>", c.size, c.sha256, c.created_at AS "created_at: Column"
            FROM contexts c JOIN projects p ON p.id = c.project_id WHERE c.id = $1
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let sha256 = row
                .sha256
                .try_into()
                .map_err(|_| StoreError::Query(sqlx::Error::Decode("a SHA-256 has 32 bytes".into())))?;
            Ok(Context {
                id,
                project: row.project.0,
                size: length(row.size),
                sha256,
                created_at: row.created_at.to_jiff(),
            })
        })
        .transpose()
    }

    /// Grants the holder of the token with this SHA-256 read access to the context while the build holds a
    /// slot.
    pub async fn grant_context(
        &self,
        context: ContextId,
        build: BuildId,
        token_sha256: [u8; 32],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO context_grants (context_id, build_id, token_sha256) VALUES ($1, $2, $3)
            ON CONFLICT (context_id, token_sha256) DO NOTHING",
            context.0,
            build.0,
            &token_sha256
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns true if a token with this SHA-256 may read the context now.
    pub async fn may_read_context(
        &self,
        context: ContextId,
        token_sha256: [u8; 32],
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            SELECT EXISTS (
                SELECT FROM context_grants g JOIN builds b ON b.id = g.build_id
                WHERE g.context_id = $1 AND g.token_sha256 = $2
                    AND b.state IN ('launching', 'running', 'cancelling')
            ) AS "may!"
            "#,
            context.0,
            &token_sha256
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
