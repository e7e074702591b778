//! Statements that store new builds.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{BuildId, NewBuild, ProjectName, Source, quota::QuotaExceeded};

/// Result for one row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The build is stored; the time is that of its creation.
    New(Timestamp),
    /// The project has no such context.
    NoSuchContext,
    /// The key was used before, or another transaction is creating the project: look again.
    NotYet,
    /// The project has a limit, which may be checked only in a transaction that holds the project's lock.
    Limited,
    /// The project has reached a limit of its builds.
    OverQuota(Box<QuotaExceeded>),
    /// The build is stored and has already ended: a newer build of its group existed before it.
    Overtaken,
}

/// Batch, one vector for each column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    projects: Vec<&'a str>,
    priorities: Vec<i16>,
    specs: Vec<String>,
    repositories: Vec<&'a str>,
    git_refs: Vec<Option<&'a str>>,
    rebuilds: Vec<Option<Uuid>>,
    contexts: Vec<Option<Uuid>>,
    keys: Vec<Option<&'a str>>,
    requests: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, build: &'a NewBuild) -> Result<(), StoreError> {
        let spec = &build.spec;
        let json = serde_json::to_string(spec)
            .map_err(|error| StoreError::Query(sqlx::Error::Encode(error.into())))?;
        self.ids.push(build.id.0);
        self.projects.push(spec.project.as_str());
        self.priorities.push(spec.priority.get());
        self.specs.push(json);
        self.repositories.push(spec.destinations.first().repository());
        self.git_refs.push(match &spec.source {
            Source::Git(git) => git.reference.as_ref().map(|reference| reference.as_str()),
            _ => None,
        });
        self.rebuilds.push(build.rebuild_of.map(|id| id.0));
        self.contexts.push(match &spec.source {
            Source::Upload(upload) => Some(upload.context_id.0),
            _ => None,
        });
        let idempotency = build.idempotency.as_ref();
        self.keys.push(idempotency.map(|one| one.key.as_str()));
        self.requests
            .push(idempotency.map(|one| one.request_sha256.as_slice()));
        Ok(())
    }
}

impl Store {
    /// Stores these builds with all related rows, usually with one statement, which is one round trip and one
    /// transaction. Returns one result for each build, in their order.
    pub(super) async fn insert(&self, builds: &[NewBuild]) -> Result<Vec<Inserted>, StoreError> {
        if !builds.iter().all(is_plain) {
            return self.insert_others(builds).await;
        }
        let mut db = self.creating.take().await?;
        let mut answers = insert_plain(&mut *db, builds).await?;
        self.creating.hold(db);
        let left: Vec<&NewBuild> = builds
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| **answer == Inserted::NotYet)
            .map(|(build, _)| build)
            .collect();
        if !left.is_empty() {
            match self.insert_others(left).await {
                Ok(others) => {
                    let waiting = answers.iter_mut().filter(|answer| **answer == Inserted::NotYet);
                    waiting.zip(others).for_each(|(answer, other)| *answer = other);
                }
                // The other builds are stored; these are tried again one by one.
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "some builds of a batch were not stored"
                ),
            }
        }
        Ok(answers)
    }

    /// Stores builds that need more lookups than that of their projects.
    async fn insert_others(
        &self,
        builds: impl IntoIterator<Item = &NewBuild>,
    ) -> Result<Vec<Inserted>, StoreError> {
        let mut db = self.creating.take().await?;
        let inserted = insert(&mut *db, builds, false).await?;
        self.creating.hold(db);
        Ok(inserted)
    }

    /// Returns the build that a key was used for, and the SHA-256 of its request.
    pub(super) async fn keyed(
        &self,
        project: &ProjectName,
        key: &str,
    ) -> Result<Option<(BuildId, Vec<u8>)>, StoreError> {
        let row = sqlx::query!(
            "
            SELECT k.build_id, k.request_sha256 FROM idempotency_keys k JOIN projects p ON p.id = k.project_id
            WHERE p.name = $1 AND k.key = $2
            ",
            project.as_str(),
            key
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (BuildId(row.build_id), row.request_sha256)))
    }
}

/// Returns true if only the build's project must be looked up. Most builds are plain, and cost a quarter
/// less.
fn is_plain(build: &NewBuild) -> bool {
    let uploaded = matches!(build.spec.source, Source::Upload(_));
    build.idempotency.is_none() && build.rebuild_of.is_none() && build.spec.concurrency.is_none() && !uploaded
}

/// Stores the plain builds whose projects exist and have no limits. Returns [`Inserted::NotYet`] for all
/// others.
async fn insert_plain(db: impl PgExecutor<'_>, builds: &[NewBuild]) -> Result<Vec<Inserted>, StoreError> {
    let mut columns = Columns::default();
    builds.iter().try_for_each(|build| columns.push(build))?;
    let rows = sqlx::query_file!(
        "src/store/insert_plain.sql",
        &columns.ids,
        &columns.projects as &[&str],
        &columns.priorities,
        &columns.specs,
        &columns.repositories as &[&str],
        &columns.git_refs as &[Option<&str>]
    )
    .fetch_all(db)
    .await?;
    let mut answers = vec![Inserted::NotYet; builds.len()];
    for row in rows {
        let nth = usize::try_from(row.nth - 1).ok();
        if let Some(answer) = nth.and_then(|nth| answers.get_mut(nth)) {
            *answer = Inserted::New(row.created_at.to_jiff());
        }
    }
    Ok(answers)
}

/// Stores builds. `locked`: the caller holds the locks of their projects and has checked their limits.
pub(super) async fn insert<'a>(
    db: impl PgExecutor<'_>,
    builds: impl IntoIterator<Item = &'a NewBuild>,
    locked: bool,
) -> Result<Vec<Inserted>, StoreError> {
    let mut columns = Columns::default();
    let mut keys = HashSet::new();
    let mut sent = Vec::new();
    for build in builds {
        // The second use of a key in a batch is looked up after the first use is stored.
        let first = build
            .idempotency
            .as_ref()
            .is_none_or(|one| keys.insert((build.spec.project.as_str(), one.key.as_str())));
        if first {
            columns.push(build)?;
        }
        sent.push(first);
    }
    let mut stored = insert_columns(db, &columns, locked).await?.into_iter();
    Ok(sent
        .into_iter()
        .map(|sent| sent.then(|| stored.next()).flatten().unwrap_or(Inserted::NotYet))
        .collect())
}

async fn insert_columns(
    db: impl PgExecutor<'_>,
    columns: &Columns<'_>,
    locked: bool,
) -> Result<Vec<Inserted>, StoreError> {
    // The concurrency group is read only under locks, so that other creations do not pay for it. Keys and
    // projects are inserted in sorted order, so that two replicas wait for each other in the same order. A
    // context is locked, so that it is not removed before the build that needs it is visible.
    let rows = sqlx::query!(
            r#"
            WITH input AS MATERIALIZED (
                SELECT * FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[],
                    $7::uuid[], $8::uuid[], $9::text[], $10::bytea[]) WITH ORDINALITY
                    AS i (id, project, priority, spec, repository, git_ref, rebuild_of, context_id, key, request, nth)
            ), made AS (
                INSERT INTO projects (name)
                SELECT DISTINCT project FROM input WHERE project NOT IN (
                    SELECT name FROM projects WHERE name = ANY($2)
                ) ORDER BY project
                ON CONFLICT (name) DO NOTHING RETURNING id, name
            ), project AS MATERIALIZED (
                SELECT id, name, NOT $11 AND (max_queued IS NOT NULL OR max_per_hour IS NOT NULL) AS limited
                FROM projects WHERE name = ANY($2) UNION ALL SELECT id, name, false FROM made
            ), ready AS MATERIALIZED (
                SELECT i.*, p.id AS project_id FROM input i JOIN project p ON p.name = i.project AND NOT p.limited
                WHERE i.context_id IS NULL OR EXISTS (
                    SELECT FROM contexts c WHERE c.id = i.context_id AND c.project_id = p.id FOR KEY SHARE
                )
            ), keyed AS (
                INSERT INTO idempotency_keys (project_id, key, build_id, request_sha256)
                SELECT project_id, key, id, request FROM ready WHERE key IS NOT NULL ORDER BY project_id, key
                ON CONFLICT (project_id, key) DO NOTHING RETURNING build_id
            ), fresh AS MATERIALIZED (
                SELECT * FROM ready WHERE key IS NULL OR id IN (SELECT build_id FROM keyed)
            ), build AS (
                INSERT INTO builds (id, project_id, priority, concurrency_group, supersede)
                SELECT id, project_id, priority, CASE WHEN $11 THEN spec::jsonb #>> '{concurrency,group}' END,
                    CASE WHEN $11 THEN nullif(spec::jsonb #>> '{concurrency,supersede}', 'none') END
                FROM fresh ORDER BY nth
            ), spec AS (
                INSERT INTO specs (build_id, project_id, rebuild_of, repository, git_ref, spec)
                SELECT id, project_id, rebuild_of, repository, git_ref, spec::jsonb FROM fresh ORDER BY nth
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause)
                SELECT id, project_id, 'queued', CASE WHEN rebuild_of IS NULL THEN 'request' ELSE 'rebuild' END
                FROM fresh ORDER BY nth
            ), counted AS (
                INSERT INTO lane_counts (project_id, priority, queued)
                SELECT project_id, priority, count(*) FROM fresh GROUP BY project_id, priority
            ), lane AS (
                INSERT INTO lanes (project_id, priority, floor)
                SELECT DISTINCT project_id, priority, now() - interval '10 s' FROM fresh f
                WHERE NOT EXISTS (
                    SELECT FROM lanes l WHERE l.project_id = f.project_id AND l.priority = f.priority
                        AND l.empty_since IS NULL
                ) ORDER BY project_id, priority
                ON CONFLICT (project_id, priority) DO UPDATE SET empty_since = NULL
            )
            SELECT now() AS "created_at!: jiff_sqlx::Timestamp",
                EXISTS (SELECT FROM fresh f WHERE f.nth = i.nth) AS "stored!",
                EXISTS (SELECT FROM ready r WHERE r.nth = i.nth) AS "ready!",
                (SELECT p.limited FROM project p WHERE p.name = i.project) AS limited
            FROM input i ORDER BY i.nth
            "#,
            &columns.ids,
            &columns.projects as &[&str],
            &columns.priorities,
            &columns.specs,
            &columns.repositories as &[&str],
            &columns.git_refs as &[Option<&str>],
            &columns.rebuilds as &[Option<Uuid>],
            &columns.contexts as &[Option<Uuid>],
            &columns.keys as &[Option<&str>],
            &columns.requests as &[Option<&[u8]>],
            locked
        )
        .fetch_all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| match (row.stored, row.ready, row.limited) {
            (true, ..) => Inserted::New(row.created_at.to_jiff()),
            (false, _, Some(true)) => Inserted::Limited,
            (false, false, Some(false)) => Inserted::NoSuchContext,
            (false, ..) => Inserted::NotYet,
        })
        .collect())
}
