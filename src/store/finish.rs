//! Ends of builds. Each build ends exactly once.

use std::sync::Arc;

use sqlx::{Connection, Postgres, Transaction};
use uuid::Uuid;

use super::{
    OfJob, Store, StoreError, Topic, attempts, claim,
    rows::{Named, column},
    together::{self, Waiting, Write},
};
use crate::domain::{AttemptSeen, BuildId, Cause, Digest, Failure, Outcome, State};

/// End of a build, to be recorded.
pub(super) struct End {
    build: BuildId,
    /// Uid of the Job; `None` for any Job.
    job: Option<String>,
    result: Result<Option<Digest>, Failure>,
    cause: Cause,
    seen: Vec<AttemptSeen>,
    retries: u32,
}

impl End {
    fn new(
        of: OfJob<'_>,
        (result, cause): (Result<Option<Digest>, Failure>, Cause),
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Self {
        Self {
            build: of.build,
            job: of.job.map(str::to_owned),
            result,
            cause,
            seen: seen.to_vec(),
            retries,
        }
    }
}

impl Write for End {
    fn waiting(store: &Store) -> &Arc<Waiting<Self>> {
        &store.ends
    }

    async fn make(store: &Store, ends: &[Self]) -> Result<Vec<bool>, StoreError> {
        let mut columns = Columns::default();
        ends.iter().for_each(|end| columns.push(end));
        let mut connection = store.ending.take().await?;
        let mut db = connection.begin_with(claim::BEGIN).await?;
        let numbers = end(&mut db, &columns).await?;
        let ended = together::took_place(ends.len(), &numbers);
        let changed: Vec<&Self> = ends
            .iter()
            .zip(&ended)
            .filter_map(|(end, ended)| ended.then_some(end))
            .collect();
        if !changed.is_empty() {
            let seen: Vec<_> = changed
                .iter()
                .map(|end| (end.build, end.seen.as_slice()))
                .collect();
            attempts::record(&mut db, &seen).await?;
            let ids: Vec<Uuid> = changed.iter().map(|end| end.build.0).collect();
            cut_off(&mut db, &ids).await?;
        }
        db.commit().await?;
        store.ending.keep(connection);
        if !changed.is_empty() {
            let ids: Vec<BuildId> = changed.iter().map(|end| end.build).collect();
            store.builds_changed(&ids);
            store.wake(Topic::Queue);
        }
        Ok(ended)
    }
}

impl Store {
    /// Records the end of a running build (succeeded or failed), its attempts and the event in one
    /// transaction. A cancelling build may also have succeeded before it could be stopped. Returns false if
    /// the build is in no such state or has another Job, or if the outcome is not terminal.
    pub async fn finish(
        &self,
        of: impl Into<OfJob<'_>>,
        outcome: &Outcome,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        let result = match outcome {
            Outcome::Succeeded { digest } => Ok(digest.clone()),
            Outcome::Failed(failure) => Err(failure.clone()),
            Outcome::Waiting { .. } | Outcome::Running { .. } => return Ok(false),
        };
        self.write(End::new(of.into(), (result, Cause::Observation), seen, retries))
            .await
    }

    /// Records a failure of a running build that no observation of a Job shows: a missed deadline or a lost
    /// Job. Returns false if the build is no longer running or has another Job.
    pub async fn give_up(
        &self,
        of: impl Into<OfJob<'_>>,
        failure: &Failure,
        cause: Cause,
        seen: &[AttemptSeen],
        retries: u32,
    ) -> Result<bool, StoreError> {
        self.write(End::new(of.into(), (Err(failure.clone()), cause), seen, retries))
            .await
    }

    /// Records that the pod of a cancelling build is gone. Returns false if the build is not cancelling, or
    /// while a launch that began before the cancellation may still create its Job.
    pub async fn cancelled(&self, id: BuildId) -> Result<bool, StoreError> {
        Ok(self.pod_gone(id).await?.is_some())
    }

    /// Acts as [`Store::cancelled`], but returns the final state: cancelled, or superseded by a newer build.
    pub async fn pod_gone(&self, id: BuildId) -> Result<Option<State>, StoreError> {
        let changed = sqlx::query_scalar!(
            r#"
            WITH changed AS (
                UPDATE builds SET
                    state = CASE WHEN superseded_by IS NULL THEN 'cancelled' ELSE 'superseded' END::build_state,
                    finished_at = now(), phase = NULL, waiting_since = NULL,
                    waiting_reason = NULL, waiting_message = NULL, lease_until = NULL, claim_token = NULL,
                    version = version + 1
                WHERE id = $1 AND state = 'cancelling' AND (lease_until IS NULL OR lease_until < now())
                RETURNING id, project_id, state, superseded_by
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause, message)
                SELECT id, project_id, state, 'pod_gone', 'Build ' || superseded_by || ' took its place.' FROM changed
            ), cut AS (
                UPDATE attempts SET state = 'failed', finished_at = coalesce(finished_at, now())
                WHERE build_id IN (SELECT id FROM changed) AND state IN ('pending', 'running')
            )
            SELECT state AS "state: Named<State>" FROM changed
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        if changed.is_some() {
            self.build_changed(id);
            self.wake(Topic::Queue);
        }
        Ok(changed.map(|state| state.0))
    }
}

/// Ends, one vector for each column.
#[derive(Default)]
struct Columns<'a> {
    builds: Vec<Uuid>,
    jobs: Vec<Option<&'a str>>,
    states: Vec<&'static str>,
    causes: Vec<&'static str>,
    started: Vec<bool>,
    retries: Vec<i32>,
    digests: Vec<Option<&'a str>>,
    reasons: Vec<Option<&'static str>>,
    messages: Vec<Option<&'a str>>,
    exit_codes: Vec<Option<i32>>,
    snippets: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, end: &'a End) {
        let failure = end.result.as_ref().err();
        self.builds.push(end.build.0);
        self.jobs.push(end.job.as_deref());
        self.states
            .push(if failure.is_none() { "succeeded" } else { "failed" });
        self.causes.push(end.cause.as_str());
        self.started
            .push(failure.is_none() || end.seen.iter().any(|attempt| attempt.started_at.is_some()));
        self.retries.push(column(end.retries));
        let digest = end.result.as_ref().ok().and_then(Option::as_ref);
        self.digests.push(digest.map(Digest::as_str));
        self.reasons.push(failure.map(|failure| failure.reason.as_str()));
        self.messages
            .push(failure.map(|failure| failure.message.as_str()));
        self.exit_codes
            .push(failure.and_then(|failure| failure.exit_code));
        self.snippets
            .push(failure.and_then(|failure| failure.log_snippet.as_deref()));
    }
}

/// Ends builds. Returns the numbers of those that it ended, counted from 1.
async fn end(db: &mut Transaction<'_, Postgres>, ends: &Columns<'_>) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_file_scalar!(
        "src/store/finish.sql",
        &ends.builds,
        &ends.jobs as &[Option<&str>],
        &ends.states as &[&str],
        &ends.causes as &[&str],
        &ends.started,
        &ends.retries,
        &ends.digests as &[Option<&str>],
        &ends.reasons as &[Option<&str>],
        &ends.messages as &[Option<&str>],
        &ends.exit_codes as &[Option<i32>],
        &ends.snippets as &[Option<&str>]
    )
    .fetch_all(&mut **db)
    .await
}

/// Marks the unfinished attempts of ended builds as failed: they waited for too long, or their pods
/// disappeared unobserved, perhaps long before another attempt succeeded.
async fn cut_off(db: &mut Transaction<'_, Postgres>, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        UPDATE attempts SET state = 'failed', finished_at = coalesce(finished_at, now())
        WHERE build_id = ANY($1) AND state IN ('pending', 'running')
        ",
        ids
    )
    .execute(&mut **db)
    .await?;
    Ok(())
}
