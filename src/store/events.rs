//! Histories of builds, for one build or a whole project. A reader can continue where it stopped.

use jiff_sqlx::Timestamp;

use super::{
    Store, StoreError,
    rows::{EventRow, Named, column, length},
};
use crate::domain::{BuildEvent, BuildId, Cause, ProjectName, Reason, State};

/// Position of a reader of a project's events: after this event.
///
/// Events are read in the order of the transactions that wrote them, and only once every earlier transaction
/// has ended. An event that is committed late therefore comes later, and a reader neither misses an event nor
/// reads one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventCursor {
    /// Id of the transaction that wrote the event.
    pub xid: u64,
    /// The event's id.
    pub id: i64,
}

impl Store {
    /// Returns the events of a build, oldest first.
    pub async fn events(&self, id: BuildId) -> Result<Vec<BuildEvent>, StoreError> {
        self.events_after(id, i64::MIN).await
    }

    /// Returns the events of a build after this one. Their ids increase in the order of commits, because each
    /// id is drawn while the build's row is locked.
    pub async fn events_after(&self, id: BuildId, after: i64) -> Result<Vec<BuildEvent>, StoreError> {
        let rows = sqlx::query_as!(
            EventRow,
            r#"
            SELECT id, build_id, state AS "state: Named<State>", cause AS "cause: Named<Cause>",
                reason AS "reason: Named<Reason>", message, at AS "at: Timestamp", xid::text::bigint AS "xid!"
            FROM build_events WHERE build_id = $1 AND id > $2 ORDER BY id
            "#,
            id.0,
            after
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(BuildEvent::from).collect())
    }

    /// Returns the events of a project's builds after the cursor, at most `limit`, each with the cursor that
    /// continues after it.
    pub async fn project_events(
        &self,
        project: &ProjectName,
        after: EventCursor,
        limit: u32,
    ) -> Result<Vec<(EventCursor, BuildEvent)>, StoreError> {
        let rows = sqlx::query_file_as!(
            EventRow,
            "src/store/project_events.sql",
            project.as_str(),
            column::<_, i64>(after.xid),
            after.id,
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let (xid, id) = (length(row.xid), row.id);
                (EventCursor { xid, id }, row.into())
            })
            .collect())
    }

    /// Returns the cursor of a reader that starts with the events from now on.
    pub async fn events_from_now(&self) -> Result<EventCursor, StoreError> {
        let next =
            sqlx::query_scalar!(r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "next!""#)
                .fetch_one(&self.pool)
                .await?;
        Ok(EventCursor {
            xid: length(next - 1),
            id: i64::MAX,
        })
    }
}
