//! Lists and reads deliveries.

use jiff_sqlx::Timestamp;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError, rows::Named};
use crate::domain::{
    DeliveryId, TriggerId,
    delivery::{Arrived, Consequence, KeptHeaders, StoredDelivery, Verdict},
};

/// Filter of a list of deliveries. An absent field does not filter.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only deliveries with this verdict.
    pub verdict: Option<Verdict>,
}

struct DeliveryRow {
    id: Uuid,
    trigger_id: Uuid,
    received_at: Timestamp,
    host_id: Option<String>,
    event: String,
    verdict: Named<Verdict>,
    reason: Option<String>,
    consequences: Json<Vec<Consequence>>,
    replay_of: Option<Uuid>,
    duplicate_of: Option<Uuid>,
}

impl From<DeliveryRow> for StoredDelivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: DeliveryId(row.id),
            trigger: TriggerId(row.trigger_id),
            received_at: row.received_at.to_jiff(),
            host_id: row.host_id,
            event: row.event,
            verdict: row.verdict.0,
            reason: row.reason,
            consequences: row.consequences.0,
            replay_of: row.replay_of.map(DeliveryId),
            duplicate_of: row.duplicate_of.map(DeliveryId),
        }
    }
}

impl Store {
    /// Returns a trigger's deliveries, newest first, only those older than `before`, at most `limit`.
    pub async fn deliveries(
        &self,
        trigger: TriggerId,
        filter: &DeliveryFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let rows = sqlx::query_as!(
            DeliveryRow,
            r#"
            SELECT id, trigger_id, received_at AS "received_at: Timestamp", host_id, event,
                verdict AS "verdict: Named<Verdict>", reason, consequences AS "consequences: Json<Vec<Consequence>>",
                replay_of, duplicate_of
            FROM deliveries WHERE trigger_id = $1 AND id < $2 AND ($3::text IS NULL OR verdict = $3)
            ORDER BY id DESC LIMIT $4
            "#,
            trigger.0,
            before.map_or(Uuid::max(), |id| id.0),
            filter.verdict.map(Verdict::as_str),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(StoredDelivery::from).collect())
    }

    /// Returns a delivery.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<StoredDelivery>, StoreError> {
        let row = sqlx::query_as!(
            DeliveryRow,
            r#"
            SELECT id, trigger_id, received_at AS "received_at: Timestamp", host_id, event,
                verdict AS "verdict: Named<Verdict>", reason, consequences AS "consequences: Json<Vec<Consequence>>",
                replay_of, duplicate_of
            FROM deliveries WHERE id = $1
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(StoredDelivery::from))
    }

    /// Returns the headers and the body that arrived with a delivery.
    pub async fn arrived(&self, id: DeliveryId) -> Result<Option<Arrived>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT headers AS "headers: Json<KeptHeaders>", body FROM deliveries WHERE id = $1"#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Arrived {
            headers: row.headers.0,
            body: row.body,
        }))
    }
}
