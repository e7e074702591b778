//! Changes of triggers, each with an entry in the audit log.

use std::time::Duration;

use jiff_sqlx::Timestamp;
use serde_json::{Value, json};
use sqlx::{PgConnection, types::Json};

use super::{SealedSecret, TriggerRow, one};
use crate::{
    domain::{
        Actor, Change, ProjectName, Trigger, TriggerId,
        commit_status::StatusSettings,
        endpoint::CallbackUrl,
        git::GitUrl,
        provider::Provider,
        trigger::{HostedName, Rules},
    },
    store::{Store, StoreError, audit, begin, rows::Named},
};

/// Change of a trigger; an absent field stays as it is.
#[derive(Debug, Clone, Default)]
pub struct TriggerChange {
    /// The repository's name.
    pub repository: Option<HostedName>,
    /// Address that builds clone from.
    pub clone_url: Option<GitUrl>,
    /// Rules that replace all present ones.
    pub rules: Option<Rules>,
    /// `true` if deliveries create builds.
    pub enabled: Option<bool>,
    /// Address and token for commit statuses; `Some(None)` turns commit statuses off.
    pub commit_status: Option<Option<StatusSettings>>,
}

impl Store {
    /// Changes a trigger. Returns `None` if there is no such trigger.
    pub async fn change_trigger(
        &self,
        id: TriggerId,
        change: &TriggerChange,
        actor: &Actor,
    ) -> Result<Option<Trigger>, StoreError> {
        let status = change.commit_status.as_ref().and_then(Option::as_ref);
        let mut db = begin::begin(&self.pool).await?;
        let Some(before) = locked(&mut db, id).await? else {
            return Ok(None);
        };
        let changed: Trigger = sqlx::query_as!(
            TriggerRow,
            r#"
            UPDATE triggers t SET repository = coalesce($2, t.repository), clone_url = coalesce($3, t.clone_url),
                rules = coalesce($4, t.rules), enabled = coalesce($5, t.enabled),
                status_api_url = CASE WHEN $6 THEN $7 ELSE t.status_api_url END,
                status_token = CASE WHEN $6 THEN $8 ELSE t.status_token END, updated_at = now(),
                version = t.version + 1
            FROM projects p WHERE p.id = t.project_id AND t.id = $1
            RETURNING t.id, p.name AS "project: Named<ProjectName>", t.provider AS "provider: Named<Provider>",
                t.repository AS "repository: Named<HostedName>", t.clone_url AS "clone_url: Named<GitUrl>",
                t.rules AS "rules: Json<Rules>", t.enabled, t.status_api_url AS "status_api_url: Named<CallbackUrl>",
                t.status_token, t.created_at AS "created_at: Timestamp",
                t.updated_at AS "updated_at: Timestamp", t.version
            "#,
            id.0,
            change.repository.as_ref().map(HostedName::as_str),
            change.clone_url.as_ref().map(GitUrl::as_str),
            change.rules.as_ref().map(Json) as Option<Json<&Rules>>,
            change.enabled,
            change.commit_status.is_some(),
            status.map(|status| status.api_url.as_str()),
            status.and_then(|status| status.token.as_deref())
        )
        .fetch_one(&mut *db)
        .await?
        .into();
        let (old, new) = (Some(shown(&before)), Some(shown(&changed)));
        record(&mut db, actor, "trigger.changed", &changed, old, new).await?;
        db.commit().await?;
        Ok(Some(changed))
    }

    /// Removes a trigger with its secrets and deliveries; its builds stay. Returns false if there is no such
    /// trigger.
    pub async fn remove_trigger(&self, id: TriggerId, actor: &Actor) -> Result<bool, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        let Some(before) = locked(&mut db, id).await? else {
            return Ok(false);
        };
        // A delivery in flight may still be added. It is not visible to clients, and retention removes it.
        sqlx::query!(
            "WITH delivery AS (DELETE FROM deliveries WHERE trigger_id = $1) DELETE FROM triggers WHERE id = $1",
            id.0
        )
        .execute(&mut *db)
        .await?;
        record(
            &mut db,
            actor,
            "trigger.removed",
            &before,
            Some(shown(&before)),
            None,
        )
        .await?;
        db.commit().await?;
        Ok(true)
    }

    /// Gives a trigger a new secret. The previous one stays valid for `overlap`; older ones become invalid.
    /// Returns false if there is no such trigger.
    pub async fn rotate_trigger_secret(
        &self,
        id: TriggerId,
        secret: &SealedSecret,
        overlap: Duration,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let mut db = begin::begin(&self.pool).await?;
        // Of two simultaneous rotations, the second one waits here.
        let Some(trigger) = locked(&mut db, id).await? else {
            return Ok(false);
        };
        sqlx::query!(
            "DELETE FROM trigger_secrets WHERE trigger_id = $1 AND expires_at IS NOT NULL",
            id.0
        )
        .execute(&mut *db)
        .await?;
        sqlx::query!(
            "UPDATE trigger_secrets SET expires_at = now() + make_interval(secs => $2)
            WHERE trigger_id = $1 AND expires_at IS NULL",
            id.0,
            overlap.as_secs_f64()
        )
        .execute(&mut *db)
        .await?;
        sqlx::query!(
            "INSERT INTO trigger_secrets (trigger_id, sealed) VALUES ($1, $2)",
            id.0,
            secret
        )
        .execute(&mut *db)
        .await?;
        let overlap = json!({ "overlap_seconds": overlap.as_secs() });
        record(
            &mut db,
            actor,
            "trigger.secret_rotated",
            &trigger,
            None,
            Some(overlap),
        )
        .await?;
        db.commit().await?;
        Ok(true)
    }
}

/// Locks a trigger for a change and returns it.
async fn locked(db: &mut PgConnection, id: TriggerId) -> Result<Option<Trigger>, sqlx::Error> {
    sqlx::query("SELECT id FROM triggers WHERE id = $1 FOR UPDATE")
        .bind(id.0)
        .execute(&mut *db)
        .await?;
    one(db, id).await
}

pub(super) async fn record(
    db: &mut PgConnection,
    actor: &Actor,
    action: &'static str,
    trigger: &Trigger,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        project: Some(&trigger.project),
        subject: trigger.id.to_string(),
        before,
        after,
    };
    audit::record(db, actor, &change).await
}

/// Returns a trigger for the audit log, without secrets.
pub(super) fn shown(trigger: &Trigger) -> Value {
    json!({
        "provider": trigger.provider,
        "repository": trigger.settings.repository,
        "clone_url": trigger.settings.clone_url,
        "rules": trigger.settings.rules,
        "enabled": trigger.settings.enabled,
        "commit_status": trigger.settings.commit_status.as_ref().map(|status| json!({
            "api_url": status.api_url,
            "own_token": status.token.is_some(),
        })),
    })
}
