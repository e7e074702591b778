//! Lists of builds, page by page.

use jiff::{Timestamp, ToSpan};
use jiff_sqlx::{Timestamp as Column, ToSqlx};
use uuid::Uuid;

use super::{Store, StoreError, rows::column};
use crate::domain::{Build, BuildId, ProjectName, State, TriggerId};

/// Filter of a list of builds. An absent field does not filter.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// Only builds of this project.
    pub project: Option<ProjectName>,
    /// Only builds whose first destination is in this repository (`host/path`).
    pub repository: Option<String>,
    /// Only builds in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only builds of this git ref, as written in the request.
    pub git_ref: Option<String>,
    /// Only builds of this trigger.
    pub trigger: Option<TriggerId>,
    /// Only builds accepted at or after this time.
    pub created_from: Option<Timestamp>,
    /// Only builds accepted before this time.
    pub created_before: Option<Timestamp>,
}

impl Store {
    /// Returns builds, newest first, only those older than `before`, at most `limit`.
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

    /// Reads a page from the specs, whose indexes are in the order of ids. The query is planned anew for each
    /// set of filters, because no single plan suits all of them.
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

    /// Reads a page from the few builds that hold slots, which may be anywhere in a long list.
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

/// Filter in the form that the queries take.
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

/// Returns the first id of builds created at `at` plus `days`. Ids contain their creator's clock, while the
/// filter uses the database's. The two are assumed to differ by less than a day, so that a page of last
/// year's builds does not read through this year's.
fn id_at(at: Timestamp, days: i64) -> Uuid {
    let millis = at
        .checked_add((24 * days).hours())
        .map_or(if days < 0 { 0 } else { i64::MAX }, Timestamp::as_millisecond);
    let millis = u64::try_from(millis).unwrap_or_default().min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}
