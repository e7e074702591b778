//! Notifications of a webhook endpoint and their delivery attempts.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    domain::{BuildId, EndpointId, Invalid, endpoint::EventType},
    store::{
        Store, StoreError,
        rows::{Named, count},
    },
};

/// State of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationState {
    /// The notification waits for its first or its next delivery attempt.
    Waiting,
    /// The receiver accepted it.
    Delivered,
    /// The notification was given up.
    Failed,
}

impl FromStr for NotificationState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "delivered" => Ok(Self::Delivered),
            "failed" => Ok(Self::Failed),
            _ => Err(Invalid::new("is no state of a notification")),
        }
    }
}

/// Message to a webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its number.
    pub id: i64,
    /// Event that it reports.
    pub kind: EventType,
    /// The build; `None` for a test.
    pub build: Option<BuildId>,
    /// Time of the event.
    pub at: Timestamp,
    /// Its state.
    pub state: NotificationState,
    /// Earliest time of the next delivery attempt.
    pub next_try_at: Option<Timestamp>,
    /// Time at which it was accepted or given up.
    pub finished_at: Option<Timestamp>,
    /// All delivery attempts, oldest first.
    pub tries: Vec<Try>,
}

/// Delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Its number, counted from 1.
    pub number: u32,
    /// Time of its end.
    pub at: Timestamp,
    /// Its duration in milliseconds.
    pub duration_ms: u32,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Reason why it does not count as accepted.
    pub error: Option<String>,
    /// First bytes of the answer's body.
    pub answer: Option<String>,
}

impl Store {
    /// Returns the notifications of a webhook endpoint, newest first, only those with a number below
    /// `before`, at most `limit`.
    pub async fn notifications(
        &self,
        endpoint: EndpointId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT id, type AS "kind: Named<EventType>", build_id, at AS "at: jiff_sqlx::Timestamp",
                state AS "state: Named<NotificationState>", next_try_at AS "next_try_at: jiff_sqlx::Timestamp",
                finished_at AS "finished_at: jiff_sqlx::Timestamp"
            FROM notifications WHERE endpoint_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
            "#,
            endpoint.0,
            before.unwrap_or(i64::MAX),
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all: Vec<Notification> = rows
            .into_iter()
            .map(|row| Notification {
                id: row.id,
                kind: row.kind.0,
                build: row.build_id.map(BuildId),
                at: row.at.to_jiff(),
                state: row.state.0,
                next_try_at: Some(row.next_try_at.to_jiff())
                    .filter(|_| row.state.0 == NotificationState::Waiting),
                finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
                tries: Vec::new(),
            })
            .collect();
        self.add_tries(&mut all).await?;
        Ok(all)
    }

    /// Returns one notification of a webhook endpoint.
    pub async fn notification(
        &self,
        endpoint: EndpointId,
        id: i64,
    ) -> Result<Option<Notification>, StoreError> {
        let found = self
            .notifications(endpoint, Some(id.saturating_add(1)), 1)
            .await?;
        Ok(found.into_iter().find(|one| one.id == id))
    }

    async fn add_tries(&self, notifications: &mut [Notification]) -> Result<(), StoreError> {
        let ids: Vec<i64> = notifications.iter().map(|one| one.id).collect();
        let rows = sqlx::query!(
            r#"
            SELECT notification_id, number, at AS "at: jiff_sqlx::Timestamp", duration_ms, status, error, answer
            FROM notification_tries WHERE notification_id = ANY($1) ORDER BY notification_id, number
            "#,
            &ids
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let of = notifications.iter_mut().find(|one| one.id == row.notification_id);
            if let Some(of) = of {
                of.tries.push(Try {
                    number: count(row.number),
                    at: row.at.to_jiff(),
                    duration_ms: count(row.duration_ms),
                    status: row.status.and_then(|status| u16::try_from(status).ok()),
                    error: row.error,
                    answer: row.answer,
                });
            }
        }
        Ok(())
    }
}
