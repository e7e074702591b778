//! Creation, change and removal of webhook endpoints.

use sqlx::PgConnection;

use super::{Endpoint, EndpointSettings, NewEndpoint, names, one, record};
use crate::{
    domain::{Actor, EndpointId},
    store::{Store, StoreError, begin, rows::column},
};

impl Store {
    /// Stores a webhook endpoint. Returns false if its project has been removed.
    pub async fn create_endpoint(&self, new: &NewEndpoint, actor: &Actor) -> Result<bool, StoreError> {
        let settings = &new.settings;
        let mut db = begin::begin(&self.pool).await?;
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
        .execute(&mut *db)
        .await?;
        if stored.rows_affected() == 0 {
            return Ok(false);
        }
        record::created(&mut db, actor, new).await?;
        db.commit().await?;
        Ok(true)
    }

    /// Changes a webhook endpoint whose settings are still those of `before`. A change of `enabled` clears
    /// its failures; if it is enabled, its waiting notifications become due at once. Returns false if its
    /// settings differ from `before`: another caller changed or removed it, or the service disabled it.
    pub async fn change_endpoint(
        &self,
        before: &Endpoint,
        settings: &EndpointSettings,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let id = before.id;
        let mut db = begin::begin(&self.pool).await?;
        let found = locked(&mut db, id).await?;
        if found.is_none_or(|found| found.settings() != before.settings()) {
            return Ok(false);
        }
        sqlx::query!(
            "
            UPDATE endpoints SET url = $2, description = $3, events = $4, format = $5, enabled = $6,
                disabled_reason = CASE WHEN $6 THEN NULL ELSE disabled_reason END,
                failing_since = CASE WHEN enabled = $6 THEN failing_since END
            WHERE id = $1
            ",
            id.0,
            settings.url.as_str(),
            settings.description.as_deref(),
            &names(&settings.events) as &[&str],
            settings.format.as_str(),
            settings.enabled
        )
        .execute(&mut *db)
        .await?;
        if settings.enabled {
            sqlx::query!(
                "
                UPDATE notifications SET next_try_at = now()
                WHERE target = $1 AND state = 'waiting' AND claim IS NULL AND next_try_at > now()
                ",
                id.to_string()
            )
            .execute(&mut *db)
            .await?;
        }
        record::changed(&mut db, actor, before, settings).await?;
        db.commit().await?;
        Ok(true)
    }

    /// Gives a webhook endpoint a new secret; the current one stays valid for `overlap` seconds. Returns
    /// false if there is no such webhook endpoint.
    pub async fn rotate_endpoint_secret(
        &self,
        id: EndpointId,
        secret: &[u8],
        overlap: u32,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let Some(endpoint) = locked(&mut db, id).await? else {
            return Ok(false);
        };
        sqlx::query!(
            "
            UPDATE endpoints SET old_secret = CASE WHEN $3 > 0 THEN secret END,
                old_secret_until = CASE WHEN $3 > 0 THEN now() + make_interval(secs => $3) END, secret = $2
            WHERE id = $1
            ",
            id.0,
            secret,
            column::<_, i32>(overlap)
        )
        .execute(&mut *db)
        .await?;
        record::rotated(&mut db, actor, &endpoint, overlap).await?;
        db.commit().await?;
        Ok(true)
    }

    /// Removes a webhook endpoint. Its pending notifications are not sent; retention removes their rows.
    /// Returns false if there is no such webhook endpoint.
    pub async fn remove_endpoint(&self, id: EndpointId, actor: &Actor) -> Result<bool, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let Some(endpoint) = locked(&mut db, id).await? else {
            return Ok(false);
        };
        sqlx::query!("DELETE FROM endpoints WHERE id = $1", id.0)
            .execute(&mut *db)
            .await?;
        record::removed(&mut db, actor, &endpoint).await?;
        db.commit().await?;
        Ok(true)
    }
}

/// Locks a webhook endpoint for a change and returns it.
async fn locked(db: &mut PgConnection, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    sqlx::query("SELECT id FROM endpoints WHERE id = $1 FOR UPDATE")
        .bind(id.0)
        .execute(&mut *db)
        .await?;
    one(db, id).await
}
