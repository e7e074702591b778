//! Attempts, recorded from observations.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{
    builds::attempts_of,
    rows::{StoredAttemptState, column},
};
use crate::domain::{Attempt, AttemptSeen, AttemptState, BuildId};

/// Records the changes in these observations of builds. Returns true if there was a change. The builds' rows
/// must be locked, because attempts are numbered in the order in which they are first observed.
pub(super) async fn record(
    db: &mut Transaction<'_, Postgres>,
    seen: &[(BuildId, &[AttemptSeen])],
) -> Result<bool, sqlx::Error> {
    let ids: Vec<Uuid> = seen
        .iter()
        .filter(|(_, attempts)| !attempts.is_empty())
        .map(|(id, _)| id.0)
        .collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let known = attempts_of(&mut **db, &ids).await?;
    let mut columns = Columns::default();
    for (id, seen) in seen {
        let known = known.get(id).map_or(&[][..], Vec::as_slice);
        for attempt in changes(known, seen) {
            columns.push(*id, attempt);
        }
    }
    if columns.builds.is_empty() {
        return Ok(false);
    }
    upsert(db, &columns).await?;
    Ok(true)
}

/// Returns the attempts that these observations add or change, with their new values.
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

/// Merges an observation into an attempt. Known values stay, even if the pod can no longer be observed
/// completely, and an ended attempt stays ended.
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

/// Truncates a time to microseconds, the precision of the database. An engine's nanoseconds would look like a
/// change at every observation.
fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Attempts, one vector for each column.
#[derive(Default)]
struct Columns {
    builds: Vec<Uuid>,
    numbers: Vec<i32>,
    names: Vec<String>,
    states: Vec<&'static str>,
    nodes: Vec<Option<String>>,
    started: Vec<Option<jiff_sqlx::Timestamp>>,
    finished: Vec<Option<jiff_sqlx::Timestamp>>,
    exit_codes: Vec<Option<i32>>,
    reasons: Vec<Option<&'static str>>,
    messages: Vec<Option<String>>,
    failure_exit_codes: Vec<Option<i32>>,
    snippets: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, build: BuildId, attempt: Attempt) {
        self.builds.push(build.0);
        self.numbers.push(column(attempt.number));
        self.names.push(attempt.name);
        self.states.push(StoredAttemptState(attempt.state).as_str());
        self.nodes.push(attempt.node);
        self.started.push(attempt.started_at.map(ToSqlx::to_sqlx));
        self.finished.push(attempt.finished_at.map(ToSqlx::to_sqlx));
        self.exit_codes.push(attempt.exit_code);
        let failure = attempt.failure;
        self.reasons
            .push(failure.as_ref().map(|failure| failure.reason.as_str()));
        self.failure_exit_codes
            .push(failure.as_ref().and_then(|failure| failure.exit_code));
        let (message, snippet) = failure.map_or((None, None), |failure| {
            (Some(failure.message), failure.log_snippet)
        });
        self.messages.push(message);
        self.snippets.push(snippet);
    }
}

async fn upsert(db: &mut Transaction<'_, Postgres>, attempts: &Columns) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        INSERT INTO attempts (build_id, number, name, state, node, started_at, finished_at, exit_code, reason, message,
            failure_exit_code, log_snippet)
        SELECT build_id, number, name, state::attempt_state, node, started_at, finished_at, exit_code, reason, message,
            failure_exit_code, log_snippet
        FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
            $8::int[], $9::text[], $10::text[], $11::int[], $12::text[])
            AS i (build_id, number, name, state, node, started_at, finished_at, exit_code, reason, message,
            failure_exit_code, log_snippet)
        ON CONFLICT (build_id, name) DO UPDATE SET state = excluded.state, node = excluded.node,
            started_at = excluded.started_at, finished_at = excluded.finished_at, exit_code = excluded.exit_code,
            reason = excluded.reason, message = excluded.message, failure_exit_code = excluded.failure_exit_code,
            log_snippet = excluded.log_snippet
        ",
        &attempts.builds,
        &attempts.numbers,
        &attempts.names,
        &attempts.states as &[&str],
        &attempts.nodes as &[Option<String>],
        &attempts.started as &[Option<jiff_sqlx::Timestamp>],
        &attempts.finished as &[Option<jiff_sqlx::Timestamp>],
        &attempts.exit_codes as &[Option<i32>],
        &attempts.reasons as &[Option<&str>],
        &attempts.messages as &[Option<String>],
        &attempts.failure_exit_codes as &[Option<i32>],
        &attempts.snippets as &[Option<String>]
    )
    .execute(&mut **db)
    .await?;
    Ok(())
}
