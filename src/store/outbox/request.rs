//! Notifications that a caller requests: tests and redeliveries.

use crate::{
    domain::EndpointId,
    store::{Store, StoreError},
};

impl Store {
    /// Creates a test notification for a webhook endpoint and returns its number. Returns `None` if there is
    /// no such webhook endpoint or it is disabled.
    pub async fn test_endpoint(&self, id: EndpointId) -> Result<Option<i64>, StoreError> {
        let made = sqlx::query_scalar!(
            "
            INSERT INTO notifications (target, endpoint_id, type)
            SELECT id::text, id, 'endpoint.test' FROM endpoints WHERE id = $1 AND enabled RETURNING id
            ",
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(made)
    }

    /// Sends a notification again, at once, with as many delivery attempts as a new one. A notification in
    /// flight is not changed. Returns false if there is no such notification.
    pub async fn redeliver(&self, endpoint: EndpointId, id: i64) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            "
            UPDATE notifications SET state = 'waiting', finished_at = NULL, round = CASE WHEN claim IS NULL THEN 0 ELSE round END,
                next_try_at = CASE WHEN claim IS NULL OR next_try_at < now() THEN now() ELSE next_try_at END
            WHERE id = $1 AND endpoint_id = $2 RETURNING id
            ",
            id,
            endpoint.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.is_some())
    }
}
