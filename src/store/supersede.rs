//! The newest of a group takes the place of the older ones.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError, rows::Named};
use crate::domain::{BuildId, State};

/// A build whose place a newer one takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superseded {
    /// Which build.
    pub(super) id: BuildId,
    /// `superseded`, or `cancelling` until its pod is gone.
    pub(super) state: State,
}

impl Store {
    /// Puts an end to what these new builds supersede, or are superseded by. Their groups' locks must be held, so that
    /// nobody adds to a group meanwhile.
    pub(super) async fn supersede(
        &self,
        db: &mut PgConnection,
        new: &[BuildId],
    ) -> Result<Vec<Superseded>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<Uuid> = new.iter().map(|id| id.0).collect();
        // Locked first, judged by the next statement: what it sees of them is what they are.
        let members = sqlx::query_file_scalar!("src/store/group_members.sql", &new)
            .fetch_all(&mut *db)
            .await?;
        if members.len() < 2 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_file!("src/store/supersede.sql", &members)
            .fetch_all(db)
            .await?;
        let superseded = rows.into_iter().map(|row| Superseded {
            id: BuildId(row.id),
            state: row.state.0,
        });
        Ok(superseded.collect())
    }
}
