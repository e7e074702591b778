//! Attempts as they become known, sighting by sighting.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Postgres, Transaction};

use super::{
    builds::attempts,
    rows::{StoredAttemptState, column},
};
use crate::domain::{Attempt, AttemptSeen, AttemptState, BuildId};

/// Records what is new in these sightings, and answers whether anything was. The build's row must be locked: numbers
/// are given in the order in which attempts are seen.
pub(super) async fn record(
    db: &mut Transaction<'_, Postgres>,
    id: BuildId,
    seen: &[AttemptSeen],
) -> Result<bool, sqlx::Error> {
    if seen.is_empty() {
        return Ok(false);
    }
    let known = attempts(&mut **db, id).await?;
    let changes = changes(&known, seen);
    for attempt in &changes {
        upsert(db, id, attempt).await?;
    }
    Ok(!changes.is_empty())
}

/// The attempts that these sightings add or change, as they are then.
pub(super) fn changes(known: &[Attempt], seen: &[AttemptSeen]) -> Vec<Attempt> {
    let mut last = known.iter().map(|attempt| attempt.number).max().unwrap_or(0);
    seen.iter()
        .filter_map(|seen| {
            let old = known.iter().find(|attempt| attempt.name == seen.name);
            let number = old.map_or_else(
                || {
                    last += 1;
                    last
                },
                |old| old.number,
            );
            let new = merged(number, old, seen);
            (old != Some(&new)).then_some(new)
        })
        .collect()
}

/// An attempt only goes on: what was known of it stays known, also when its pod can no longer be seen whole.
fn merged(number: u32, old: Option<&Attempt>, seen: &AttemptSeen) -> Attempt {
    let ended = old.filter(|old| matches!(old.state, AttemptState::Succeeded | AttemptState::Failed));
    let state = match (ended, old) {
        (Some(old), _) => old.state,
        _ if seen.succeeded => AttemptState::Succeeded,
        _ if seen.failure.is_some() => AttemptState::Failed,
        _ if seen.running => AttemptState::Running,
        (None, Some(old)) => old.state,
        (None, None) => AttemptState::Pending,
    };
    let failure = (state == AttemptState::Failed)
        .then(|| {
            seen.failure
                .clone()
                .or_else(|| old.and_then(|old| old.failure.clone()))
        })
        .flatten();
    Attempt {
        number,
        name: seen.name.clone(),
        state,
        node: seen.node.clone().or_else(|| old.and_then(|old| old.node.clone())),
        started_at: seen
            .started_at
            .map(stored)
            .or_else(|| old.and_then(|old| old.started_at)),
        finished_at: seen
            .finished_at
            .map(stored)
            .or_else(|| old.and_then(|old| old.finished_at)),
        exit_code: seen.exit_code.or_else(|| old.and_then(|old| old.exit_code)),
        failure,
        log_bytes: old.map_or(0, |old| old.log_bytes),
    }
}

/// A moment as the database keeps it, which is by the microsecond: an engine's nanoseconds would look new every time.
fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

async fn upsert(
    db: &mut Transaction<'_, Postgres>,
    id: BuildId,
    attempt: &Attempt,
) -> Result<(), sqlx::Error> {
    let failure = attempt.failure.as_ref();
    sqlx::query!(
        "
        INSERT INTO attempts (build_id, number, name, state, node, started_at, finished_at, exit_code, reason, message,
            failure_exit_code, log_snippet)
        VALUES ($1, $2, $3, $4::text::attempt_state, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (build_id, name) DO UPDATE SET state = excluded.state, node = excluded.node,
            started_at = excluded.started_at, finished_at = excluded.finished_at, exit_code = excluded.exit_code,
            reason = excluded.reason, message = excluded.message, failure_exit_code = excluded.failure_exit_code,
            log_snippet = excluded.log_snippet
        ",
        id.0,
        column::<_, i32>(attempt.number),
        attempt.name,
        StoredAttemptState(attempt.state).as_str(),
        attempt.node.as_deref(),
        attempt.started_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        attempt.finished_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        attempt.exit_code,
        failure.map(|failure| failure.reason.as_str()),
        failure.map(|failure| failure.message.as_str()),
        failure.and_then(|failure| failure.exit_code),
        failure.and_then(|failure| failure.log_snippet.as_deref())
    )
    .execute(&mut **db)
    .await?;
    Ok(())
}
