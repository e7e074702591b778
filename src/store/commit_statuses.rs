//! Builds whose state is reported to their git host as a commit status.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{BuildId, commit_status::StatusTarget};

impl Store {
    /// Stores the target of the build's commit statuses: each later state is reported to its git host. Call
    /// it before the build is created, so that no state is missed; if it is not created after all, retention
    /// removes the row. A target that is already stored stays.
    pub async fn show_commit_status(&self, build: BuildId, target: &StatusTarget) -> Result<(), StoreError> {
        Ok(insert(&mut *self.pool.acquire().await?, &[(build, target)]).await?)
    }

    /// Stores the target of the build `other` for a rebuild of it, if it has one that its trigger still uses.
    pub async fn show_commit_status_of(&self, build: BuildId, other: BuildId) -> Result<(), StoreError> {
        sqlx::query!(
            "
            INSERT INTO commit_statuses (build_id, provider, api_url, repository, commit_id, context, trigger_id)
            SELECT $1, c.provider, c.api_url, c.repository, c.commit_id, c.context, c.trigger_id
            FROM commit_statuses c JOIN triggers t ON t.id = c.trigger_id AND t.status_api_url = c.api_url
            WHERE c.build_id = $2 ON CONFLICT DO NOTHING
            ",
            build.0,
            other.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Stores the commit status targets of builds. Tokens are not copied; they stay with the triggers.
pub(super) async fn insert(
    db: &mut PgConnection,
    targets: &[(BuildId, &StatusTarget)],
) -> Result<(), sqlx::Error> {
    if targets.is_empty() {
        return Ok(());
    }
    let builds: Vec<Uuid> = targets.iter().map(|(build, _)| build.0).collect();
    let texts = |of: fn(&StatusTarget) -> &str| -> Vec<&str> {
        targets.iter().map(|(_, target)| of(target)).collect()
    };
    let triggers: Vec<Uuid> = targets.iter().map(|(_, target)| target.trigger.0).collect();
    sqlx::query!(
        "
        INSERT INTO commit_statuses (build_id, provider, api_url, repository, commit_id, context, trigger_id)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[])
        ON CONFLICT DO NOTHING
        ",
        &builds,
        &texts(|target| target.provider.as_str()) as &[&str],
        &texts(|target| target.api_url.as_str()) as &[&str],
        &texts(|target| &target.repository) as &[&str],
        &texts(|target| &target.commit) as &[&str],
        &texts(|target| &target.context) as &[&str],
        &triggers
    )
    .execute(db)
    .await?;
    Ok(())
}
