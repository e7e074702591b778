//! Rows as sqlx reads them, and their conversion to values of the domain.

use std::str::FromStr;

use jiff_sqlx::Timestamp;
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
    types::Json,
};
use uuid::Uuid;

use crate::domain::{
    Attempt, AttemptState, Build, BuildEvent, BuildId, BuildSpec, Cause, DeliveryId, Digest, EventKind,
    Failure, Invalid, Phase, Reason, State, TriggerId, build::TriggeredBy,
};

/// Column of text or of an enum type that holds a value of the domain by its name.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub T);

impl<T> Type<Postgres> for Named<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(_: &PgTypeInfo) -> bool {
        // Labels of enum types arrive as text. Decoding refuses a text that names no value.
        true
    }
}

impl<T: FromStr<Err = Invalid>> Decode<'_, Postgres> for Named<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let name = <&str as Decode<Postgres>>::decode(value)?;
        Ok(Self(name.parse()?))
    }
}

/// All of a build except its attempts, events and logs.
pub(super) struct BuildRow {
    pub id: Uuid,
    pub state: Named<State>,
    pub phase: Option<Named<Phase>>,
    pub waiting_reason: Option<Named<Reason>>,
    pub waiting_message: Option<String>,
    pub spec: Json<BuildSpec>,
    pub rebuild_of: Option<Uuid>,
    pub trigger_id: Option<Uuid>,
    pub rule: Option<String>,
    pub delivery_id: Option<Uuid>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub cancel_requested_at: Option<Timestamp>,
    pub superseded_by: Option<Uuid>,
    pub retries: i32,
    pub digest: Option<Named<Digest>>,
    pub reason: Option<Named<Reason>>,
    pub message: Option<String>,
    pub exit_code: Option<i32>,
    pub log_snippet: Option<String>,
    pub version: i64,
}

impl From<BuildRow> for Build {
    fn from(row: BuildRow) -> Self {
        Self {
            id: BuildId(row.id),
            state: row.state.0,
            phase: row.phase.map(|phase| phase.0),
            waiting_reason: row.waiting_reason.map(|reason| reason.0),
            waiting_message: row.waiting_message,
            spec: row.spec.0,
            rebuild_of: row.rebuild_of.map(BuildId),
            triggered_by: row.trigger_id.map(|id| TriggeredBy {
                trigger_id: TriggerId(id),
                rule: row.rule.unwrap_or_default(),
                delivery_id: row.delivery_id.map(DeliveryId),
            }),
            created_at: row.created_at.to_jiff(),
            started_at: row.started_at.map(Timestamp::to_jiff),
            finished_at: row.finished_at.map(Timestamp::to_jiff),
            cancel_requested_at: row.cancel_requested_at.map(Timestamp::to_jiff),
            superseded_by: row.superseded_by.map(BuildId),
            retries: count(row.retries),
            digest: row.digest.map(|digest| digest.0),
            failure: failure(row.reason, row.message, row.exit_code, row.log_snippet),
            version: row.version,
        }
    }
}

/// Attempt of a build.
pub(super) struct AttemptRow {
    pub build_id: Uuid,
    pub number: i32,
    pub name: String,
    pub state: Named<StoredAttemptState>,
    pub node: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    pub reason: Option<Named<Reason>>,
    pub message: Option<String>,
    pub failure_exit_code: Option<i32>,
    pub log_snippet: Option<String>,
    pub log_bytes: i64,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            number: count(row.number),
            name: row.name,
            state: row.state.0.0,
            node: row.node,
            started_at: row.started_at.map(Timestamp::to_jiff),
            finished_at: row.finished_at.map(Timestamp::to_jiff),
            exit_code: row.exit_code,
            failure: failure(row.reason, row.message, row.failure_exit_code, row.log_snippet),
            log_bytes: length(row.log_bytes),
        }
    }
}

/// State of an attempt, by its name in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredAttemptState(pub AttemptState);

impl StoredAttemptState {
    /// Returns the name in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self.0 {
            AttemptState::Pending => "pending",
            AttemptState::Running => "running",
            AttemptState::Succeeded => "succeeded",
            AttemptState::Failed => "failed",
        }
    }
}

impl FromStr for StoredAttemptState {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        [
            AttemptState::Pending,
            AttemptState::Running,
            AttemptState::Succeeded,
            AttemptState::Failed,
        ]
        .into_iter()
        .map(Self)
        .find(|state| state.as_str() == name)
        .ok_or_else(|| Invalid::new(format_args!("is no state of an attempt: {name:?}")))
    }
}

/// Change of a build's state.
pub(super) struct EventRow {
    pub id: i64,
    pub build_id: Uuid,
    pub state: Named<State>,
    pub cause: Option<Named<Cause>>,
    pub reason: Option<Named<Reason>>,
    pub message: Option<String>,
    pub at: Timestamp,
    pub xid: i64,
}

impl From<EventRow> for BuildEvent {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id,
            build: BuildId(row.build_id),
            kind: EventKind::State(row.state.0),
            cause: row.cause.map(|cause| cause.0),
            reason: row.reason.map(|reason| reason.0),
            message: row.message,
            at: row.at.to_jiff(),
        }
    }
}

fn failure(
    reason: Option<Named<Reason>>,
    message: Option<String>,
    exit_code: Option<i32>,
    log_snippet: Option<String>,
) -> Option<Failure> {
    reason.map(|reason| Failure {
        reason: reason.0,
        message: message.unwrap_or_default(),
        exit_code,
        log_snippet,
    })
}

/// Converts a count, which the schema keeps from being negative.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// Converts a length in bytes, which the schema keeps from being negative.
pub(super) fn length(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

/// Converts a number to the type of a column; a number that does not fit becomes the maximum.
pub(super) fn column<T, C: TryFrom<T> + Bounded>(number: T) -> C {
    C::try_from(number).unwrap_or(C::MAX)
}

/// Integer types of columns.
pub(super) trait Bounded {
    /// Greatest value.
    const MAX: Self;
}

impl Bounded for i32 {
    const MAX: Self = Self::MAX;
}

impl Bounded for i64 {
    const MAX: Self = Self::MAX;
}
