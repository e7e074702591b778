//! Builds whose commits bear their status.

use super::{Store, StoreError};
use crate::domain::{BuildId, commit_status::StatusTarget};

impl Store {
    /// Has the build's git host told of every state that it reaches from now on. Called before the build is created, so
    /// that none is left out; where it is not created after all, the row goes with its time. The first word counts.
    pub async fn show_commit_status(&self, build: BuildId, target: &StatusTarget) -> Result<(), StoreError> {
        let credential = target.credential.as_ref();
        sqlx::query!(
            "
            INSERT INTO commit_statuses (build_id, provider, api_url, repository, commit_id, context,
                credential_context, credential)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
            ",
            build.0,
            target.provider.as_str(),
            target.api_url.as_str().trim_end_matches('/'),
            &target.repository,
            &target.commit,
            &target.context,
            credential.map(|credential| credential.context.as_slice()),
            credential.map(|credential| credential.sealed.as_slice())
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
