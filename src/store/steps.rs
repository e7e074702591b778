//! Steps of attempts, recorded from their logs.

use jiff_sqlx::Timestamp;

use super::{
    Store, StoreError,
    rows::{column, count},
};
use crate::domain::{BuildId, Phase, StepRun, kaniko_log::Step};

impl Store {
    /// Records the steps that an attempt's log announces, in their order: each ends when the next begins.
    /// Known steps stay as they are. If the log is read long after it was written (`live` is false), the
    /// durations are unknown, and the steps are recorded without an end.
    pub async fn begin_steps(
        &self,
        id: BuildId,
        attempt: &str,
        steps: &[Step],
        live: bool,
    ) -> Result<(), StoreError> {
        let numbers: Vec<i32> = steps.iter().map(|step| column(step.number)).collect();
        let instructions: Vec<&str> = steps.iter().map(|step| step.instruction.as_str()).collect();
        let recorded = sqlx::query!(
            "
            WITH begun AS MATERIALIZED (
                SELECT number, instruction, lead(number) OVER (ORDER BY number) AS next
                FROM unnest($3::integer[], $4::text[]) b (number, instruction)
            ), ended AS (
                UPDATE steps SET finished_at = greatest(now(), started_at)
                WHERE build_id = $1 AND attempt = $2 AND finished_at IS NULL AND timed AND $5
                    AND number < (SELECT min(number) FROM begun)
            ), changed AS (
                UPDATE builds SET version = version + 1 WHERE id = $1
            )
            INSERT INTO steps (build_id, attempt, number, instruction, timed, finished_at)
            SELECT $1, $2, number, instruction, $5, CASE WHEN $5 AND next IS NOT NULL THEN now() END
            FROM begun ORDER BY number
            ON CONFLICT (build_id, attempt, number) DO NOTHING
            ",
            id.0,
            attempt,
            &numbers,
            &instructions as &[&str],
            live
        )
        .execute(&self.pool)
        .await?;
        if recorded.rows_affected() > 0 {
            self.build_changed(id);
        }
        Ok(())
    }

    /// Records the end of an attempt's current step: the attempt pushes, or its log is complete. Ends only
    /// the last step: if later steps were not read in time, the end of an earlier one is unknown.
    pub async fn end_steps(&self, id: BuildId, attempt: &str) -> Result<(), StoreError> {
        let recorded = sqlx::query!(
            "UPDATE steps SET finished_at = greatest(now(), started_at)
            WHERE build_id = $1 AND attempt = $2 AND finished_at IS NULL AND timed
                AND number = (SELECT max(number) FROM steps WHERE build_id = $1 AND attempt = $2)",
            id.0,
            attempt
        )
        .execute(&self.pool)
        .await?;
        if recorded.rows_affected() > 0 {
            self.build_changed(id);
        }
        Ok(())
    }

    /// Records the phase that the log of a running build's latest attempt shows. A phase never goes back
    /// within an attempt.
    pub async fn reach_phase(&self, id: BuildId, attempt: &str, phase: Phase) -> Result<(), StoreError> {
        let recorded = sqlx::query!(
            "
            UPDATE builds SET phase = $3::text::build_phase, version = version + 1
            WHERE id = $1 AND state = 'running' AND phase < $3::text::build_phase AND $2 = (
                SELECT name FROM attempts WHERE build_id = $1 ORDER BY number DESC LIMIT 1
            )
            ",
            id.0,
            attempt,
            phase.as_str()
        )
        .execute(&self.pool)
        .await?;
        if recorded.rows_affected() > 0 {
            self.build_changed(id);
        }
        Ok(())
    }

    /// Returns what is stored of an attempt's log (by its name) from `offset` on, at most `limit` bytes.
    pub async fn stored_log(
        &self,
        id: BuildId,
        attempt: &str,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<u8>, StoreError> {
        let stored = self.log_length(id, attempt).await?;
        let end = stored.min(offset.saturating_add(u64::from(limit)));
        self.log_bytes(id, attempt, offset, end).await
    }

    /// Returns the steps of an attempt, by its name, in their order.
    pub async fn steps(&self, id: BuildId, attempt: &str) -> Result<Vec<StepRun>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT number, instruction, started_at AS "started_at: Timestamp", finished_at AS "finished_at: Timestamp"
            FROM steps WHERE build_id = $1 AND attempt = $2 ORDER BY number
            "#,
            id.0,
            attempt
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| StepRun {
                number: count(row.number),
                instruction: row.instruction,
                started_at: row.started_at.to_jiff(),
                finished_at: row.finished_at.map(Timestamp::to_jiff),
            })
            .collect())
    }
}
