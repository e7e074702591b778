//! Lists of builds, page by page.

use jiff::{Timestamp, ToSpan};
use jiff_sqlx::{Timestamp as Column, ToSqlx};
use uuid::Uuid;

use super::{Store, StoreError, rows::column};
use crate::domain::{Build, BuildId, ProjectName, State, TriggerId};

/// Which builds a list shows. An absent field does not filter.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Whose first destination is in this repository (`host/path`).
    pub repository: Option<String>,
    /// In one of these states; empty for all.
    pub states: Vec<State>,
    /// Of this git ref, as the request wrote it.
    pub git_ref: Option<String>,
    /// Of this trigger.
    pub trigger: Option<TriggerId>,
    /// Accepted at or after this moment.
    pub created_from: Option<Timestamp>,
    /// Accepted before this moment.
    pub created_before: Option<Timestamp>,
}

impl Store {
    /// Builds from the newest to the oldest, those older than `before` only; at most `limit`.
    pub async fn builds(
        &self,
        filter: &BuildFilter,
        before: Option<BuildId>,
        limit: u32,
    ) -> Result<Vec<Build>, StoreError> {
        let page = Page::new(filter, before, limit);
        let ids = if !filter.states.is_empty() && filter.states.iter().all(|state| state.holds_slot()) {
            self.active_page(&page).await?
        } else {
            self.page(&page).await?
        };
        self.builds_of(&ids).await
    }

    /// Read from the specs, whose indexes are in the order of ids. Planned anew for each set of filters: a plan that
    /// fits all would fit none.
    async fn page(&self, page: &Page<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            r#"
            SELECT s.build_id FROM specs s JOIN builds b ON b.id = s.build_id
            WHERE ($1::text IS NULL OR s.project_id = (SELECT id FROM projects WHERE name = $1))
                AND ($2::text IS NULL OR s.repository = $2)
                AND ($3::text[] = '{}' OR b.state = ANY($3::text[]::build_state[]))
                AND ($4::text IS NULL OR s.git_ref = $4)
                AND s.created_at >= coalesce($5, '-infinity'::timestamptz)
                AND s.created_at < coalesce($6, 'infinity'::timestamptz)
                AND ($10::uuid IS NULL OR s.build_id IN (
                    SELECT t.build_id FROM triggered_builds t WHERE t.trigger_id = $10
                ))
                AND s.build_id >= $7 AND s.build_id < $8
            ORDER BY s.build_id DESC LIMIT $9
            "#,
            page.project,
            page.repository,
            &page.states as &[&str],
            page.git_ref,
            page.created_from as Option<Column>,
            page.created_before as Option<Column>,
            page.from,
            page.before,
            page.limit,
            page.trigger
        )
        .persistent(false)
        .fetch_all(&self.pool)
        .await
    }

    /// Read from the few builds that hold slots, which may be anywhere in a long list.
    async fn active_page(&self, page: &Page<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            r#"
            WITH active AS MATERIALIZED (
                SELECT id, state FROM held_slots
            )
            SELECT s.build_id FROM active b JOIN specs s ON b.id = s.build_id
            WHERE ($1::text IS NULL OR s.project_id = (SELECT id FROM projects WHERE name = $1))
                AND ($2::text IS NULL OR s.repository = $2)
                AND b.state = ANY($3::text[]::build_state[])
                AND ($4::text IS NULL OR s.git_ref = $4)
                AND s.created_at >= coalesce($5, '-infinity'::timestamptz)
                AND s.created_at < coalesce($6, 'infinity'::timestamptz)
                AND ($10::uuid IS NULL OR s.build_id IN (
                    SELECT t.build_id FROM triggered_builds t WHERE t.trigger_id = $10
                ))
                AND s.build_id >= $7 AND s.build_id < $8
            ORDER BY s.build_id DESC LIMIT $9
            "#,
            page.project,
            page.repository,
            &page.states as &[&str],
            page.git_ref,
            page.created_from as Option<Column>,
            page.created_before as Option<Column>,
            page.from,
            page.before,
            page.limit,
            page.trigger
        )
        .persistent(false)
        .fetch_all(&self.pool)
        .await
    }
}

/// A filter as the queries take it.
struct Page<'a> {
    project: Option<&'a str>,
    repository: Option<&'a str>,
    states: Vec<&'static str>,
    git_ref: Option<&'a str>,
    created_from: Option<Column>,
    created_before: Option<Column>,
    from: Uuid,
    before: Uuid,
    limit: i64,
    trigger: Option<Uuid>,
}

impl<'a> Page<'a> {
    fn new(filter: &'a BuildFilter, before: Option<BuildId>, limit: u32) -> Self {
        let before = before.map_or(Uuid::max(), |id| id.0);
        Self {
            project: filter.project.as_ref().map(ProjectName::as_str),
            repository: filter.repository.as_deref(),
            states: filter.states.iter().map(|state| state.as_str()).collect(),
            git_ref: filter.git_ref.as_deref(),
            created_from: filter.created_from.map(ToSqlx::to_sqlx),
            created_before: filter.created_before.map(ToSqlx::to_sqlx),
            from: filter.created_from.map_or(Uuid::nil(), |at| id_at(at, -1)),
            before: filter
                .created_before
                .map_or(before, |at| before.min(id_at(at, 1))),
            limit: column(i64::from(limit)),
            trigger: filter.trigger.map(|id| id.0),
        }
    }
}

/// The id of a build made `days` from `at`. Ids bear their maker's clock, the filter asks for the database's: within a
/// day the two are taken to agree, so that a page of last year's builds need not be read past this year's.
fn id_at(at: Timestamp, days: i64) -> Uuid {
    let millis = at
        .checked_add((24 * days).hours())
        .map_or(if days < 0 { 0 } else { i64::MAX }, Timestamp::as_millisecond);
    let millis = u64::try_from(millis).unwrap_or_default().min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}
