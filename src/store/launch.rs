//! Transitions that the holder of a claim records: from launching to running, back to queued, or to failed.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;
use sqlx::{Connection, types::Json};
use uuid::Uuid;

use super::{
    Claim, ClaimToken, OfJob, Store, StoreError, Topic,
    claim::{self, ClaimedRow},
    together::{self, Waiting, Write},
};
use crate::domain::{BuildId, Failure};

/// Successful launch, to be recorded.
pub(super) struct Launch {
    id: BuildId,
    token: ClaimToken,
    external_id: String,
}

impl Write for Launch {
    fn waiting(store: &Store) -> &Arc<Waiting<Self>> {
        &store.launches
    }

    async fn make(store: &Store, launches: &[Self]) -> Result<Vec<bool>, StoreError> {
        let ids: Vec<Uuid> = launches.iter().map(|one| one.id.0).collect();
        let tokens: Vec<Uuid> = launches.iter().map(|one| one.token.0).collect();
        let external_ids: Vec<String> = launches.iter().map(|one| one.external_id.clone()).collect();
        let mut connection = store.launching.take().await?;
        let mut db = connection.begin_with(claim::BEGIN).await?;
        // A cancelling build gets its Job recorded and stays cancelling.
        let changed = sqlx::query_scalar!(
            r#"
            WITH input AS MATERIALIZED (
                SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS i (id, token, external_id, n)
                ORDER BY id
            ), changed AS (
                UPDATE builds b SET external_id = i.external_id, lease_until = NULL, claim_token = NULL,
                    state = CASE b.state WHEN 'launching' THEN 'running' ELSE b.state END,
                    phase = CASE b.state WHEN 'launching' THEN 'pending' ELSE b.phase END,
                    waiting_since = CASE b.state WHEN 'launching' THEN now() ELSE b.waiting_since END,
                    version = version + 1
                FROM input i
                WHERE b.id = i.id AND b.state IN ('launching', 'cancelling') AND b.claim_token = i.token
                RETURNING b.id, b.project_id, b.state, i.n
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause)
                SELECT id, project_id, state, 'launch' FROM changed WHERE state = 'running'
            )
            SELECT n AS "n!" FROM changed WHERE state = 'running'
            "#,
            &ids,
            &tokens,
            &external_ids
        )
        .fetch_all(&mut *db)
        .await?;
        db.commit().await?;
        store.launching.keep(connection);
        let ids: Vec<BuildId> = launches.iter().map(|one| one.id).collect();
        store.builds_changed(&ids);
        Ok(together::took_place(launches.len(), &changed))
    }
}

impl Store {
    /// Records that the Job exists: launching to running. Returns false if the token is no longer valid, or
    /// if the build was cancelled meanwhile: the Job must then be removed, and this launch is over.
    pub async fn launched(
        &self,
        id: BuildId,
        token: ClaimToken,
        external_id: &str,
    ) -> Result<bool, StoreError> {
        let launch = Launch {
            id,
            token,
            external_id: external_id.to_owned(),
        };
        self.write(launch).await
    }

    /// Returns true if a launch of a cancelling build that began before the cancellation may still create its
    /// Job. Returns `None` if the build is not cancelling.
    pub async fn launch_goes_on(&self, id: BuildId) -> Result<Option<bool>, StoreError> {
        let goes_on = sqlx::query_scalar!(
            r#"
            SELECT coalesce(lease_until >= now(), false) AS "goes_on!" FROM builds
            WHERE id = $1 AND state = 'cancelling'
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(goes_on)
    }

    /// Puts a build whose launch could not be completed back into the queue, not to be claimed before `delay`
    /// has passed. Returns false if the token is no longer valid.
    pub async fn release(&self, id: BuildId, token: ClaimToken, delay: Duration) -> Result<bool, StoreError> {
        let changed = sqlx::query_scalar!(
            "
            WITH changed AS (
                UPDATE builds SET state = 'queued', run_at = now() + make_interval(secs => $3),
                    turn = NULL, lease_until = NULL, claim_token = NULL, version = version + 1
                WHERE id = $1 AND state = 'launching' AND claim_token = $2 RETURNING id, project_id, priority
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause)
                SELECT id, project_id, 'queued', 'launch_deferred' FROM changed
            ), counted AS (
                INSERT INTO lane_counts (project_id, priority, queued) SELECT project_id, priority, 1 FROM changed
            ), lane AS (
                INSERT INTO lanes (project_id, priority, floor)
                SELECT project_id, priority, now() - interval '10 s' FROM changed
                WHERE NOT EXISTS (
                    SELECT FROM lanes l WHERE l.project_id = changed.project_id AND l.priority = changed.priority
                        AND l.empty_since IS NULL
                )
                ON CONFLICT (project_id, priority) DO UPDATE SET empty_since = NULL
            )
            SELECT id FROM changed
            ",
            id.0,
            token.0,
            delay.as_secs_f64()
        )
        .fetch_optional(&self.pool)
        .await?;
        if changed.is_some() {
            self.build_changed(id);
            self.wake(Topic::Queue);
        }
        Ok(changed.is_some())
    }

    /// Records that the launch can never succeed: launching to failed. If the build was cancelled meanwhile,
    /// records only that this launch is over, and returns false.
    pub async fn launch_failed(
        &self,
        id: BuildId,
        token: ClaimToken,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query_scalar!(
            "
            WITH changed AS (
                UPDATE builds SET state = 'failed', finished_at = now(), lease_until = NULL, claim_token = NULL,
                    version = version + 1
                WHERE id = $1 AND state = 'launching' AND claim_token = $2 RETURNING id, project_id
            ), unwanted AS (
                UPDATE builds SET lease_until = NULL, claim_token = NULL, version = version + 1
                WHERE id = $1 AND state = 'cancelling' AND claim_token = $2
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause, reason, message)
                SELECT id, project_id, 'failed', 'launch_failed', $3, $4 FROM changed
            ), result AS (
                INSERT INTO results (build_id, reason, message, exit_code, log_snippet)
                SELECT id, $3, $4, $5, $6 FROM changed
            )
            SELECT id FROM changed
            ",
            id.0,
            token.0,
            failure.reason.as_str(),
            failure.message,
            failure.exit_code,
            failure.log_snippet
        )
        .fetch_optional(&self.pool)
        .await?;
        self.build_changed(id);
        if changed.is_some() {
            self.wake(Topic::Queue);
        }
        Ok(changed.is_some())
    }

    /// Moves a running build whose Job is gone back to launching, as a claim of the caller. Returns `None` if
    /// the build is no longer running or has another Job.
    pub async fn relaunch(
        &self,
        of: impl Into<OfJob<'_>>,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let of = of.into();
        let row = sqlx::query_as!(
            ClaimedRow,
            r#"
            WITH changed AS (
                UPDATE builds SET state = 'launching', claim_token = gen_random_uuid(),
                    lease_until = now() + make_interval(secs => $2), launches = launches + 1,
                    relaunches = relaunches + 1, phase = NULL, external_id = NULL, waiting_since = NULL,
                    waiting_reason = NULL, waiting_message = NULL, version = version + 1
                WHERE id = $1 AND state = 'running' AND ($3::text IS NULL OR external_id = $3)
                RETURNING id, project_id, claim_token, launches
            ), event AS (
                INSERT INTO build_events (build_id, project_id, state, cause)
                SELECT id, project_id, 'launching', 'job_lost' FROM changed
            )
            SELECT c.id, c.claim_token AS "token!", c.launches - 1 AS "launches!",
                s.spec AS "spec: Json<Box<RawValue>>"
            FROM changed c JOIN specs s ON s.build_id = c.id
            "#,
            of.id(),
            lease.as_secs_f64(),
            of.job
        )
        .fetch_optional(&self.pool)
        .await?;
        self.build_changed(of.build);
        match row {
            Some(row) => Ok(self.read(row).await),
            None => Ok(None),
        }
    }
}
