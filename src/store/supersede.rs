//! Concurrency groups: a newer build supersedes the older ones.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError, rows::Named};
use crate::domain::{BuildId, State};

/// Build that a newer one supersedes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superseded {
    /// The build's identifier.
    pub(super) id: BuildId,
    /// `superseded`, or `cancelling` until its pod is gone.
    pub(super) state: State,
}

impl Store {
    /// Ends the builds that these new builds supersede, and the new builds that are superseded already. The
    /// caller must hold the locks of their groups, so that no build is added to a group meanwhile.
    pub(super) async fn supersede(
        &self,
        db: &mut PgConnection,
        new: &[BuildId],
    ) -> Result<Vec<Superseded>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<Uuid> = new.iter().map(|id| id.0).collect();
        // The first statement locks the builds, and the next one decides: what it reads cannot change any
        // more.
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
